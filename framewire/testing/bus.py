"""The bus in memory."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from framewire.bus.interface import PRIORITIES, BookConflict, ControlState, DeadLetter, EventConflict, ModelWish
from framewire.jobs.ranking import AGEING_SECONDS, urgency
from framewire.jobs.states import ends_job
from framewire.v1.job_pb2 import Event
from framewire.v1.step_pb2 import Lane
from framewire.work.v1.work_pb2 import JobOrder, ModelBook, WorkerStatus


class MemoryBus:
    """Every seam of the bus within one event loop; nothing survives it."""

    def __init__(self, *, ack_wait: float = 4.0, ageing: float = AGEING_SECONDS) -> None:
        self.jobs = MemoryJobQueue(ack_wait, ageing)
        self.events = MemoryEventLog()
        self.cancellations = MemoryCancellations()
        self.workers = MemoryWorkers()
        self.controls = MemoryControls()
        self.models = MemoryModelBooks()
        self.dead_letters = MemoryDeadLetters()

    async def ping(self) -> None:
        """Always there."""

    async def close(self) -> None:
        """Nothing to give back."""


class _Changed:
    """Wakes all who wait for the next change."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def notify(self) -> None:
        self._event.set()
        self._event = asyncio.Event()

    async def wait(self, timeout: float | None = None) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await self._event.wait()


@dataclass(slots=True, kw_only=True)
class _Queued:
    order: JobOrder
    since: float
    visible_from: float = 0.0
    holder: int = 0


class MemoryDelivery:
    """A job held until `ack_wait` after the last sign of life."""

    def __init__(self, queue: MemoryJobQueue, entry: _Queued, placement: str) -> None:
        self._queue = queue
        self._entry = entry
        self._token = entry.holder
        self.placement = placement
        self.order = JobOrder.FromString(entry.order.SerializeToString())

    async def in_progress(self) -> None:
        """Keep it."""
        if self._holds():
            self._entry.visible_from = time.monotonic() + self._queue.ack_wait

    async def ack(self) -> None:
        """Remove it."""
        self._queue.discard(self._entry)

    async def retry(self, delay: float) -> None:
        """Give it back."""
        if self._holds():
            self._entry.visible_from = time.monotonic() + delay
            self._queue.changed.notify()

    def _holds(self) -> bool:
        return self._entry.holder == self._token


class MemoryJobQueue:
    """A list in the order of arrival."""

    def __init__(self, ack_wait: float, ageing: float) -> None:
        self.ack_wait = ack_wait
        self._ageing = ageing
        self.changed = _Changed()
        self._held_back: dict[Lane.ValueType, int] = {}
        self._entries: list[_Queued] = []

    async def publish(self, order: JobOrder) -> None:
        """Queue an order unless it is queued or held."""
        if any(_identity(entry.order) == _identity(order) for entry in self._entries):
            return
        kept = JobOrder.FromString(order.SerializeToString())
        self._entries.append(_Queued(order=kept, since=time.monotonic()))
        self.changed.notify()

    async def pull(
        self,
        lanes: Sequence[Lane.ValueType],
        *,
        wait: float,
        priorities: Sequence[int] = PRIORITIES,
        overflow_after: int | None = None,
    ) -> MemoryDelivery | None:
        """The most urgent visible job."""
        deadline = time.monotonic() + wait
        while True:
            now = time.monotonic()
            places = {lane: await self._placement(lane, overflow_after) for lane in lanes}
            waiting = [
                entry for entry in self._entries if places.get(entry.order.lane) and entry.order.priority in priorities
            ]
            visible = [entry for entry in waiting if entry.visible_from <= now]
            if visible:
                entry = min(visible, key=lambda each: self._urgency(each, now))
                entry.visible_from = now + self.ack_wait
                entry.holder += 1
                return MemoryDelivery(self, entry, places[entry.order.lane])
            if now >= deadline:
                return None
            soonest = min([entry.visible_from for entry in waiting], default=deadline)
            await self.changed.wait(min(soonest, deadline) - now)

    async def remove(self, order: JobOrder) -> None:
        """Take an order out."""
        for entry in [entry for entry in self._entries if _identity(entry.order) == _identity(order)]:
            self.discard(entry)

    async def announce_held_back(self, lane: Lane.ValueType, count: int) -> None:
        """Remember how many wait outside."""
        self._held_back[lane] = count

    async def waiting(self, lane: Lane.ValueType) -> int:
        """Those never handed out, and those outside."""
        inside = sum(entry.order.lane == lane and entry.holder == 0 for entry in self._entries)
        return inside + self._held_back.get(lane, 0)

    def discard(self, entry: _Queued) -> None:
        """Drop an entry; nothing happens when it is gone already."""
        if entry in self._entries:
            self._entries.remove(entry)

    async def _placement(self, lane: Lane.ValueType, overflow_after: int | None) -> str:
        """Why a job of the lane may be had now; empty when it may not."""
        if overflow_after is None:
            return "own"
        waiting = await self.waiting(lane)
        return f"overflow: {waiting} waited, more than {overflow_after}" if waiting > overflow_after else ""

    def _urgency(self, entry: _Queued, now: float) -> float:
        return urgency(entry.order.priority, now - entry.since, ageing=self._ageing)


def _identity(order: JobOrder) -> tuple[str, int]:
    return order.job_id, order.max_attempts


class MemoryEventLog:
    """One list of stored events; numbers are places in it, as in a stream."""

    def __init__(self) -> None:
        self._stored: list[bytes] = []
        self._by_job: dict[str, list[int]] = defaultdict(list)
        self._changed = _Changed()
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


class MemoryCancellations:
    """A set, and the list of how it came about."""

    def __init__(self) -> None:
        self._requested: list[str] = []
        self._withdrawn: set[str] = set()
        self._changed = _Changed()

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
        self._changed = _Changed()

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


class MemoryModelBooks:
    """A dict of books as bytes, each with its number."""

    def __init__(self) -> None:
        self._books: dict[str, tuple[bytes, int]] = {}
        self._changed = _Changed()

    async def read(self, server: str) -> tuple[ModelBook, int]:
        """The book and its number."""
        data, number = self._books.get(server, (b"", 0))
        return ModelBook.FromString(data), number

    async def write(self, server: str, book: ModelBook, *, after: int) -> int:
        """Replace it if it is still number `after`."""
        if self._books.get(server, (b"", 0))[1] != after:
            raise BookConflict
        self._books[server] = (book.SerializeToString(), after + 1)
        self._changed.notify()
        return after + 1

    async def changed(self, server: str, *, after: int, wait: float) -> bool:
        """Whether it has another number by then."""
        until = time.monotonic() + wait
        while self._books.get(server, (b"", 0))[1] == after and (left := until - time.monotonic()) > 0:
            await self._changed.wait(left)
        return self._books.get(server, (b"", 0))[1] != after


class MemoryDeadLetters:
    """A dict by number; a job's new letter replaces the old one."""

    def __init__(self) -> None:
        self._letters: dict[int, DeadLetter] = {}
        self._count = 0

    async def bury(self, order: JobOrder, reason: str, history: Sequence[str] = ()) -> None:
        """Add or replace the job's letter."""
        self._letters = {n: letter for n, letter in self._letters.items() if letter.job_id != order.job_id}
        self._count += 1
        self._letters[self._count] = DeadLetter(
            number=self._count,
            job_id=order.job_id,
            reason=" ".join(reason.split()),
            time=datetime.now(UTC),
            order=JobOrder.FromString(order.SerializeToString()),
            payload=order.SerializeToString(),
            history=tuple(history),
        )

    async def list(self, *, after: int = 0, limit: int = 100) -> Sequence[DeadLetter]:
        """Letters above `after`, oldest first."""
        return [letter for number, letter in self._letters.items() if number > after][:limit]

    async def get(self, number: int) -> DeadLetter | None:
        """One letter."""
        return self._letters.get(number)

    async def drop(self, number: int) -> None:
        """Remove a letter."""
        self._letters.pop(number, None)
