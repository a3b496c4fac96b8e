"""Workers, wishes of operators and cancellations in memory: what everybody sees at once."""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

from framewire.bus.interface import ControlState, ModelWish
from framewire.testing.bus.changed import Changed
from framewire.v1.step_pb2 import Lane
from framewire.work.v1.work_pb2 import WorkerStatus


class MemoryCancellations:
    """A set, and the list of how it came about."""

    def __init__(self) -> None:
        self._requested: list[str] = []
        self._withdrawn: set[str] = set()
        self._changed = Changed()

    async def request(self, job_id: str) -> None:
        """Ask."""
        self._withdrawn.discard(job_id)
        self._requested.append(job_id)
        self._changed.notify()

    async def is_requested(self, job_id: str) -> bool:
        """Whether somebody asked."""
        return job_id in self._requested and job_id not in self._withdrawn

    async def withdraw(self, job_id: str) -> None:
        """Forget."""
        self._withdrawn.add(job_id)

    async def watch(self) -> AsyncIterator[str]:
        """Ids as they come."""
        seen = len(self._requested)
        while True:
            for job_id in self._requested[seen:]:
                seen += 1
                yield job_id
            if seen == len(self._requested):
                await self._changed.wait()


class MemoryWorkers:
    """A dict; announcements age as on the real board."""

    def __init__(self, age: float = 10.0) -> None:
        self._age = age
        self._workers: dict[str, tuple[float, WorkerStatus]] = {}

    async def announce(self, status: WorkerStatus) -> None:
        """Say that a worker lives."""
        kept = WorkerStatus()
        kept.CopyFrom(status)
        self._workers[status.worker] = (time.monotonic(), kept)

    async def withdraw(self, worker: str) -> None:
        """Say that it is gone."""
        self._workers.pop(worker, None)

    async def live(self) -> Sequence[WorkerStatus]:
        """Those that announced themselves lately."""
        oldest = time.monotonic() - self._age
        return [status for announced, status in self._workers.values() if announced >= oldest]


class MemoryControls:
    """Two sets."""

    def __init__(self) -> None:
        self._state = ControlState()
        self._changed = Changed()

    async def pause(self, lane: Lane.ValueType) -> None:
        """No more jobs of this lane."""
        self._set(paused=self._state.paused | {lane})

    async def resume(self, lane: Lane.ValueType) -> None:
        """Jobs of this lane again."""
        self._set(paused=self._state.paused - {lane})

    async def paused(self) -> frozenset[Lane.ValueType]:
        """Paused lanes."""
        return self._state.paused

    async def drain(self, worker: str) -> None:
        """No more jobs for this worker."""
        self._set(draining=self._state.draining | {worker})

    async def undrain(self, worker: str) -> None:
        """Jobs for this worker again."""
        self._set(draining=self._state.draining - {worker})

    async def draining(self) -> frozenset[str]:
        """Draining workers."""
        return self._state.draining

    async def pin(self, model: str) -> None:
        """A model shall stay loaded."""
        self._wish(model, pinned=True)

    async def unpin(self, model: str) -> None:
        """A model need not stay."""
        self._wish(model, pinned=False)

    async def watch(self) -> AsyncIterator[ControlState]:
        """The state now and after each change."""
        while True:
            shown = self._state
            yield shown
            if shown is self._state:
                await self._changed.wait()

    def _wish(self, model: str, *, pinned: bool) -> None:
        wish = ModelWish(model=model, pinned=pinned, request=secrets.token_hex(8))
        self._set(models=frozenset(each for each in self._state.models if each.model != model) | {wish})

    def _set(self, **changes: frozenset[Lane.ValueType] | frozenset[str] | frozenset[ModelWish]) -> None:
        self._state = replace(self._state, **changes)  # type: ignore[arg-type]  # each by its own name
        self._changed.notify()
