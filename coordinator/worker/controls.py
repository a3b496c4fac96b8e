"""What operators want of this worker: lanes to leave alone, or no more jobs at all."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Final

from coordinator.worker.patience import once
from framewire.bus.interface import Controls, ControlState, ModelWish
from framewire.errors import Unavailable
from framewire.v1.step_pb2 import Lane

log = logging.getLogger(__name__)

_PAUSE: Final = 1.0
"""Seconds before the bus is tried again after it failed."""


class ControlWatch:
    """Holds to the last word it heard; `changed` is called when there is another one."""

    def __init__(self, controls: Controls, *, worker: str, changed: Callable[[], None]) -> None:
        self._controls = controls
        self._worker = worker
        self._changed = changed
        self._state = ControlState()

    @property
    def draining(self) -> bool:
        """Whether this worker shall take nothing new."""
        return self._worker in self._state.draining

    @property
    def wishes(self) -> frozenset[ModelWish]:
        """The last wish about each model."""
        return self._state.models

    def open(self, lanes: Sequence[Lane.ValueType]) -> list[Lane.ValueType]:
        """Those of `lanes` jobs may be taken from."""
        return [] if self.draining else [lane for lane in lanes if lane not in self._state.paused]

    async def start(self) -> None:
        """Read once. Raises Unavailable when the bus does not answer."""
        paused, draining = await once(self._controls.paused), await once(self._controls.draining)
        self._set(ControlState(paused=paused, draining=draining))

    async def run(self) -> None:
        """Listen until cancelled."""
        while True:
            try:
                async for state in self._controls.watch():
                    self._set(state)
            except Unavailable as error:
                log.warning("pauses and drains are not heard: %s", error.message)
            await asyncio.sleep(_PAUSE)

    def _set(self, state: ControlState) -> None:
        before, self._state = self._state, state
        if self._words(before) != self._words(state):
            log.info("%s", self._words(state))
        if self._words(before) != self._words(state) or before.models != state.models:
            self._changed()

    def _words(self, state: ControlState) -> str:
        if self._worker in state.draining:
            return "draining: no more jobs are taken"
        lanes = sorted(Lane.Name(lane).removeprefix("LANE_").lower() for lane in state.paused)
        return f"paused: {', '.join(lanes)}" if lanes else "jobs are taken"
