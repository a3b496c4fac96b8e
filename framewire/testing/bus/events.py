"""The log of events in memory."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Sequence

from framewire.bus.interface import EventConflict
from framewire.jobs.states import ends_job
from framewire.testing.bus.changed import Changed
from framewire.v1.job_pb2 import Event


class MemoryEventLog:
    """One list of stored events; numbers are places in it, as in a stream."""

    def __init__(self) -> None:
        self._stored: list[bytes] = []
        self._by_job: dict[str, list[int]] = defaultdict(list)
        self._changed = Changed()
        self._positions: dict[str, int] = defaultdict(int)

    async def append(self, event: Event, *, after: int) -> int:
        """Append, fenced by the newest event's number."""
        numbers = self._by_job[event.job_id]
        newest = numbers[-1] if numbers else 0
        if newest != after:
            raise EventConflict(self._load(newest) if newest else None)
        stored = Event()
        stored.CopyFrom(event)
        stored.number = len(self._stored) + 1
        self._stored.append(stored.SerializeToString())
        numbers.append(stored.number)
        self._changed.notify()
        return stored.number

    async def last(self, job_id: str) -> Event | None:
        """The newest event."""
        numbers = self._by_job.get(job_id)
        return self._load(numbers[-1]) if numbers else None

    async def read(self, job_id: str, *, after: int = 0) -> AsyncIterator[Event]:
        """Past and coming events."""
        while True:
            for number in [number for number in self._by_job.get(job_id, []) if number > after]:
                event = self._load(number)
                after = number
                yield event
                if ends_job(event) and number == self._by_job[job_id][-1]:
                    return
            if not any(number > after for number in self._by_job.get(job_id, [])):
                await self._changed.wait()

    async def open_feed(self, name: str) -> MemoryEventFeed:
        """All events for a reader that remembers."""
        return MemoryEventFeed(self, name)

    def _load(self, number: int) -> Event:
        return Event.FromString(self._stored[number - 1])


class MemoryReceived:
    """An event of a feed."""

    def __init__(self, event: Event, unacknowledged: set[int]) -> None:
        self.event = event
        self._unacknowledged = unacknowledged

    async def ack(self) -> None:
        """Done with it."""
        self._unacknowledged.discard(self.event.number)


class MemoryEventFeed:
    """Hands out what this reader has not seen; opening it again repeats what was not acknowledged."""

    def __init__(self, log: MemoryEventLog, name: str) -> None:
        self._log = log
        self._name = name
        self._unacknowledged: set[int] = set()
        self._next = log._positions[name] + 1  # one module, one memory

    async def fetch(self, *, batch: int, wait: float) -> Sequence[MemoryReceived]:
        """Up to `batch` events."""
        if self._next > len(self._log._stored):
            await self._log._changed.wait(wait)
        numbers = range(self._next, min(self._next + batch, len(self._log._stored) + 1))
        self._next += len(numbers)
        self._unacknowledged.update(numbers)
        return [MemoryReceived(self._log._load(number), self._unacknowledged) for number in numbers]

    async def close(self) -> None:
        """Remember the first event that was not acknowledged."""
        self._log._positions[self._name] = min(self._unacknowledged, default=self._next) - 1
