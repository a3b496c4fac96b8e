"""The workers that live and what operators want of them, as the boards said lately."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence

from framewire.bus.interface import Controls, ControlState, Workers
from framewire.errors import Unavailable
from framewire.jobs import fairness
from framewire.v1.step_pb2 import Lane
from framewire.work.v1.work_pb2 import WorkerStatus

log = logging.getLogger(__name__)


class Fleet:
    """Asks the boards at most every `max_age` seconds; while they do not answer, what was known last."""

    def __init__(self, workers: Workers, controls: Controls, *, max_age: float = 3.0) -> None:
        self._workers = workers
        self._controls = controls
        self._max_age = max_age
        self._turn = asyncio.Lock()  # many callers, one question
        self._read_at = float("-inf")
        self._live: Sequence[WorkerStatus] = ()
        self._state = ControlState()

    async def live(self, max_age: float | None = None) -> Sequence[WorkerStatus]:
        """The workers that live, by name."""
        await self.refresh(max_age)
        return self._live

    async def refresh(self, max_age: float | None = None) -> None:
        """Ask the boards unless they were asked within `max_age` seconds."""
        async with self._turn:
            if time.monotonic() - self._read_at > (self._max_age if max_age is None else max_age):
                try:
                    self._live = sorted(await self._workers.live(), key=lambda status: status.worker)
                    self._state = ControlState(
                        paused=await self._controls.paused(), draining=await self._controls.draining()
                    )
                    self._read_at = time.monotonic()
                except Unavailable as error:
                    log.warning("the workers known last are taken for those that live: %s", error.message)

    def is_paused(self, lane: Lane.ValueType) -> bool:
        """Whether no worker takes jobs of this lane, as known last."""
        return lane in self._state.paused

    def is_draining(self, status: WorkerStatus) -> bool:
        """Whether it takes nothing new, as known last."""
        return status.draining or status.worker in self._state.draining

    def taking(self, lane: Lane.ValueType) -> list[WorkerStatus]:
        """The workers that take jobs of this lane, as known last."""
        return [status for status in self._live if lane in status.lanes and not self.is_draining(status)]

    def slots(self, lane: Lane.ValueType) -> int:
        """Jobs of this lane that can run at once, as known last."""
        return sum(max(1, status.slots) for status in self.taking(lane))

    def window(self, lane: str) -> int:
        """Orders of one workspace and priority that may stand in the lane's queue."""
        return fairness.window(self.slots(lane_value(lane)))


def lane_value(name: str) -> Lane.ValueType:
    """The lane a column names: `gpu`."""
    return Lane.Value(f"LANE_{name.upper()}")
