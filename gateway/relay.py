"""The relay: what the database decided becomes known to the bus.

Every action may be done twice (a relay may die between doing and removing, two gateways may do the same row) and
comes to the same: an event is appended only where the log still stands before it, orders and cancellations are
idempotent, and once a job's log has ended nothing more is said about it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from framewire.bus.interface import Bus, EventConflict
from framewire.db.outbox import IN_STORE, ON_BUS, Outbox, OutboxKind, OutboxRow
from framewire.jobs.states import ends_job
from framewire.logs import log_context
from framewire.storage.parts import PartStore
from framewire.v1.job_pb2 import (
    JOB_STATE_CANCELLED,
    JOB_STATE_FAILED,
    JOB_STATE_QUEUED,
    JOB_STATE_WAITING_UPLOAD,
    Event,
)
from framewire.work.v1.work_pb2 import JobOrder

_BATCH = 200
_AT_ONCE = 16
_FIRST_REST = 1.0
_LONGEST_REST = 300.0
log = logging.getLogger(__name__)


class Relay:
    """One round sends what lies in the outbox; rows of one subject in order, subjects side by side.

    What cannot be sent although the server behind it answers rests, longer each time, and holds up nothing but the
    later rows of its own subject.
    """

    def __init__(
        self,
        outbox: Outbox,
        filled: asyncio.Event,
        bus: Bus,
        store: PartStore,
        *,
        kinds: frozenset[OutboxKind] = frozenset(OutboxKind),
        poll: float = 5.0,
    ) -> None:
        self._outbox = outbox
        self._filled = filled
        self._bus = bus
        self._store = store
        self._kinds = kinds
        self._poll = poll  # other gateways fill the same outbox without telling this one
        self._resting: dict[str, _Rest] = {}

    async def round(self) -> None:
        """Wait until there may be something, at most `poll` seconds, and go through the outbox once.

        Raises Unavailable when rows could not be sent because the bus or the store is away.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._until_next()):
                await self._filled.wait()
        self._filled.clear()
        try:
            await self._send_outbox()
        except BaseException:
            self._filled.set()  # what is left does not have to wait for a new row
            raise

    def _until_next(self) -> float:
        rested = min((rest.until for rest in self._resting.values()), default=float("inf"))
        return min(self._poll, max(rested - time.monotonic(), 0.0))

    async def _send_outbox(self) -> None:
        after, seen = 0, set[str]()
        while rows := await self._outbox.take(_BATCH, after=after, kinds=self._kinds):
            after = rows[-1].outbox_id
            seen |= {row.subject for row in rows}
            await self._send_all(rows)
        self._resting = {subject: rest for subject, rest in self._resting.items() if subject in seen}

    async def _send_all(self, rows: Iterable[OutboxRow]) -> None:
        now = time.monotonic()
        subjects: dict[str, list[OutboxRow]] = {}
        for row in rows:
            if row.subject not in self._resting or self._resting[row.subject].until <= now:
                subjects.setdefault(row.subject, []).append(row)
        places = asyncio.Semaphore(_AT_ONCE)
        sending = (self._send_subject(group, places) for group in subjects.values())
        results = await asyncio.gather(*sending, return_exceptions=True)
        failed = {
            subject: result
            for subject, result in zip(subjects, results, strict=True)
            if isinstance(result, BaseException)
        }
        if failed:
            await self._judge(failed)

    async def _judge(self, failed: Mapping[str, BaseException]) -> None:
        """Raise when a server is away: then no row is to blame. Let the rows rest when it is not."""
        if self._kinds & ON_BUS:
            await self._bus.ping()
        if self._kinds & IN_STORE:
            await self._store.head("outbox")
        for subject, error in failed.items():
            if not isinstance(error, Exception):
                raise error
            rest = self._resting[subject] = _Rest.after(self._resting.get(subject))
            log.error("%s cannot be sent, again in %.0f s: %s", subject, rest.seconds, error)

    async def _send_subject(self, rows: list[OutboxRow], places: asyncio.Semaphore) -> None:
        sent: list[int] = []
        try:
            async with places:
                for row in rows:
                    with log_context(subject=row.subject):
                        await self._send(row)
                    sent.append(row.outbox_id)
        finally:
            await self._outbox.remove(sent)

    async def _send(self, row: OutboxRow) -> None:
        match row.kind:
            case OutboxKind.APPEND_EVENT:
                await self._append(Event.FromString(row.payload))
            case OutboxKind.PUBLISH_ORDER:
                await self._publish(JobOrder.FromString(row.payload))
            case OutboxKind.REQUEST_CANCELLATION:
                await self._bus.cancellations.request(JobOrder.FromString(row.payload).job_id)
            case OutboxKind.REMOVE_ORDER:
                await self._remove(JobOrder.FromString(row.payload))
            case OutboxKind.DELETE_OBJECT:
                await self._store.delete(row.payload.decode())
            case OutboxKind.DELETE_BELOW:
                await self._store.delete_below(row.payload.decode())
            case OutboxKind.ABORT_PARTS:
                await self._store.abort_parts(*row.payload.decode().split("\n"))

    async def _append(self, event: Event) -> None:
        last = await self._bus.events.last(event.job_id)
        while may_follow(last, event):
            if last is not None:  # the gateway begins no attempt and takes none back
                event.attempt = max(event.attempt, last.attempt)
            try:
                await self._bus.events.append(event, after=last.number if last else 0)
            except EventConflict as conflict:
                last = conflict.last  # somebody was first: look again whether it may still be said
            else:
                return

    async def _publish(self, order: JobOrder) -> None:
        last = await self._bus.events.last(order.job_id)
        if last is None or not ends_job(last):
            await self._bus.jobs.publish(order)

    async def _remove(self, order: JobOrder) -> None:
        """Only once the log has ended: a running job's order must come back if its worker dies.

        Then a cancellation means nothing any more either, and would stop the job should it be retried.
        """
        last = await self._bus.events.last(order.job_id)
        if last is not None and ends_job(last):
            await self._bus.jobs.remove(order)
            await self._bus.cancellations.withdraw(order.job_id)


@dataclass(frozen=True, slots=True)
class _Rest:
    """How long a subject is left alone, and until when."""

    seconds: float
    until: float

    @classmethod
    def after(cls, last: _Rest | None) -> _Rest:
        seconds = min(last.seconds * 2, _LONGEST_REST) if last else _FIRST_REST
        return cls(seconds, time.monotonic() + seconds)


def may_follow(last: Event | None, event: Event) -> bool:
    """Whether the gateway may still say `event` when `last` is the newest of the job's log.

    The gateway begins a log (WAITING_UPLOAD, QUEUED), ends one that no worker holds (CANCELLED; FAILED, when the upload
    it waited for was never finished), and opens one again
    that ended in failure (QUEUED with the number of the failure); a job that runs is ended by its worker, which hears
    of the cancellation.
    """
    state = event.status.state
    if last is None:
        return True
    if event.number:
        return last.number == event.number
    if state in {JOB_STATE_QUEUED, JOB_STATE_FAILED}:
        return last.status.state == JOB_STATE_WAITING_UPLOAD
    if state == JOB_STATE_CANCELLED:
        return last.status.state in {JOB_STATE_WAITING_UPLOAD, JOB_STATE_QUEUED}
    return False
