"""The servers of a simulated installation: the bus in memory, on a clock of its own; a store; a database's rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from framewire.db import folding
from framewire.db.outbox import OutboxKind, OutboxRow
from framewire.errors import ErrorCode, Unavailable
from framewire.jobs.states import TERMINAL, can_follow, state_name
from framewire.testing.bus import MemoryBus, MemoryEventLog, MemoryReceived
from framewire.v1.job_pb2 import JOB_STATE_CANCELLED, JOB_STATE_QUEUED, Event, JobState, StatusChange
from framewire.work.v1.work_pb2 import JobOrder

ACK_WAIT = 4.0
FEED_ACK_WAIT = 4.0
_ENDED = frozenset(state_name(state) for state in TERMINAL)


class Clock:
    """Stands in for the module `time` in the bus in memory."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@dataclass
class Row:
    """A job in the database."""

    order: JobOrder
    state: str = "QUEUED"
    attempt: int = 0
    last_event: int = 0
    start_time: Any = None
    cancel_requested: bool = False
    results: list[tuple[int, str]] = field(default_factory=list)
    """Attempt and hash of every result that was inserted as an asset: one at most."""


class Database:
    """Rows and the outbox. A method is a transaction: it happens or it does not."""

    def __init__(self, *, guarded: bool = True) -> None:
        self.rows: dict[str, Row] = {}
        self.outbox: dict[int, OutboxRow] = {}
        self._numbers = 0
        self._guarded = guarded

    def create(self, order: JobOrder) -> None:
        """What `JobStore.create_job` leaves behind."""
        self.rows[order.job_id] = Row(order)
        event = Event(job_id=order.job_id, workspace_id=order.workspace_id, status=StatusChange(state=JOB_STATE_QUEUED))
        self._put(order, (OutboxKind.APPEND_EVENT, event), (OutboxKind.PUBLISH_ORDER, order))

    def cancel(self, job_id: str) -> None:
        """What `JobStore.request_cancel` leaves behind."""
        row = self.rows[job_id]
        if row.state in _ENDED or row.cancel_requested:
            return
        row.cancel_requested = True
        event = Event(job_id=job_id, workspace_id="ws", status=StatusChange(state=JOB_STATE_CANCELLED))
        self._put(
            row.order,
            (OutboxKind.REQUEST_CANCELLATION, row.order),
            (OutboxKind.APPEND_EVENT, event),
            (OutboxKind.REMOVE_ORDER, row.order),
        )

    def retry(self, job_id: str, *, attempts: int) -> bool:
        """What `framewire.db.retrying.retry` and the release after it leave behind. Whether there was a failure."""
        row = self.rows[job_id]
        if row.state != "FAILED":
            return False
        before = JobOrder.FromString(row.order.SerializeToString())
        row.order.max_attempts = row.attempt + attempts
        row.state = "QUEUED"
        event = Event(job_id=job_id, workspace_id="ws", number=row.last_event, attempt=row.attempt)
        event.status.state = JOB_STATE_QUEUED
        self._put(
            row.order,
            (OutboxKind.REMOVE_ORDER, before),
            (OutboxKind.APPEND_EVENT, event),
            (OutboxKind.PUBLISH_ORDER, row.order),
        )
        return True

    async def fold(self, events: Sequence[Event], *, keys: Any) -> None:
        """`JobStore.fold`: the guards are repeated here, what an event changes is the real thing's own."""
        for event in sorted(events, key=lambda event: (event.job_id, event.number)):
            row = self.rows.get(event.job_id)
            if row is None or (self._guarded and _passed_over(row, event)):
                continue
            change: dict[str, Any] = {}
            folding._apply(change, event)  # the pure part of folding
            row.state, row.attempt = change.get("state", row.state), change["attempt"]
            row.last_event = change["last_event"]
            row.cancel_requested = change.get("cancel_requested", row.cancel_requested)
            row.results += [(event.attempt, output.sha256) for output in event.status.outputs]

    async def take(self, limit: int) -> list[OutboxRow]:
        """`Outbox.take`."""
        return list(self.outbox.values())[:limit]

    async def remove(self, outbox_ids: Sequence[int]) -> None:
        """`Outbox.remove`."""
        for number in outbox_ids:
            self.outbox.pop(number, None)

    def _put(self, order: JobOrder, *entries: tuple[OutboxKind, Any]) -> None:
        for kind, message in entries:
            self._numbers += 1
            self.outbox[self._numbers] = OutboxRow(
                outbox_id=self._numbers, subject=order.job_id, kind=kind, payload=message.SerializeToString()
            )


def _passed_over(row: Row, event: Event) -> bool:
    if event.number <= row.last_event:
        return True
    ended = row.state in _ENDED
    return ended and not can_follow(JobState.Value(f"JOB_STATE_{row.state}"), event.status.state)


class Store:
    """Keys and what was written there. An upload nobody waits for any more may still land later."""

    def __init__(self, clock: Clock) -> None:
        self.objects: dict[str, str] = {}
        self.in_flight: list[tuple[str, str]] = []
        self.away_until = 0.0
        self._clock = clock

    async def put(self, key: str, content: str) -> None:
        self._answer()
        self.objects[key] = content

    async def delete(self, key: str) -> None:
        self._answer()
        self.objects.pop(key, None)

    def _answer(self) -> None:
        if self._clock.now < self.away_until:
            raise Unavailable("away", code=ErrorCode.STORE_UNAVAILABLE)


class UnfencedLog(MemoryEventLog):
    """A log that takes everything: the broken one the simulator has to find out."""

    async def append(self, event: Event, *, after: int) -> int:
        last = await self.last(event.job_id)
        return await super().append(event, after=last.number if last else 0)


class RepeatingFeed:
    """All events for the recorder, as a durable consumer hands them out.

    Whatever it is told to repeat comes again, and what a reader that died did not acknowledge comes late: after newer
    events.
    """

    def __init__(self, log: MemoryEventLog, clock: Clock) -> None:
        self._log, self._clock = log, clock
        self._next = 1
        self._acknowledged: set[int] = set()
        self._again: set[int] = set()
        self._late: dict[int, float] = {}

    @property
    def waiting(self) -> bool:
        return bool(self._again) or self._next <= len(self._log._stored) or self._due()

    @property
    def settled(self) -> bool:
        return not self.waiting and not self._late

    @property
    def delivered(self) -> range:
        return range(1, self._next)

    def repeat(self, numbers: Sequence[int]) -> None:
        """The consumer has lost acknowledgements."""
        self._again |= set(numbers)

    def forget_position(self) -> None:
        """The reader died: what it did not acknowledge comes again when the consumer misses it."""
        for number in set(self.delivered) - self._acknowledged:
            self._late.setdefault(number, self._clock.now + FEED_ACK_WAIT)

    async def open_feed(self, name: str) -> RepeatingFeed:
        return self

    async def fetch(self, *, batch: int, wait: float) -> list[Acknowledged]:
        late = {number for number, due in self._late.items() if due <= self._clock.now}
        numbers = sorted(self._again | late) or range(self._next, len(self._log._stored) + 1)
        self._again = set()
        self._late = {number: due for number, due in self._late.items() if number not in late}
        self._next = max([self._next, *(number + 1 for number in numbers)])
        return [Acknowledged(self._log._load(number), self._acknowledged) for number in numbers]

    async def close(self) -> None: ...

    def _due(self) -> bool:
        return any(due <= self._clock.now for due in self._late.values())


class Acknowledged(MemoryReceived):
    """Remembers that it was."""

    async def ack(self) -> None:
        self._unacknowledged.add(self.event.number)


def make_bus(*, fenced: bool) -> MemoryBus:
    """The bus in memory, with or without its fence."""
    bus = MemoryBus(ack_wait=ACK_WAIT)
    if not fenced:
        bus.events = UnfencedLog()
    return bus
