"""The models live workers serve, as they announced them lately."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Collection, Sequence

from framewire.bus.interface import Workers
from framewire.errors import Unavailable
from framewire.v1.step_pb2 import Lane, ModelInfo
from framewire.work.v1.work_pb2 import WorkerStatus

log = logging.getLogger(__name__)


class LiveModels:
    """Asks the board of workers at most every `max_age` seconds; while it does not answer, what was known last."""

    def __init__(self, workers: Workers, *, max_age: float = 3.0) -> None:
        self._workers = workers
        self._max_age = max_age
        self._turn = asyncio.Lock()  # many callers, one question
        self._read_at = float("-inf")
        self._live: Sequence[WorkerStatus] = ()

    async def known(self) -> list[ModelInfo]:
        """Every model some live worker serves, by name."""
        return self._models(await self._current(self._max_age), frozenset())

    async def in_lane(self, lane: Lane.ValueType, *, missing: Collection[str] = ()) -> list[ModelInfo]:
        """The models of the workers of one lane. When one of `missing` is not among them the board is asked again."""
        models = self._models(await self._current(self._max_age), {lane})
        if set(missing) <= {model.name for model in models}:
            return models
        return self._models(await self._current(0.0), {lane})

    async def _current(self, max_age: float) -> Sequence[WorkerStatus]:
        async with self._turn:
            if time.monotonic() - self._read_at > max_age:
                try:
                    self._live = await self._workers.live()
                    self._read_at = time.monotonic()
                except Unavailable as error:
                    log.warning("the catalogue keeps the models known last: %s", error.message)
            return self._live

    @staticmethod
    def _models(workers: Sequence[WorkerStatus], lanes: Collection[int]) -> list[ModelInfo]:
        chosen = [worker for worker in workers if not lanes or set(worker.lanes) & set(lanes)]
        by_name = {model.name: model for worker in chosen for model in worker.models}
        return [by_name[name] for name in sorted(by_name)]
