"""One attempt's pen in its job's log: every entry is fenced by the number of the newest entry this attempt knows."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import TypedDict, Unpack

from google.protobuf.timestamp_pb2 import Timestamp

from coordinator.worker.patience import CALL_LIMIT, patiently
from framewire.bus.interface import EventConflict, EventLog
from framewire.errors import Unavailable
from framewire.jobs.states import ends_job
from framewire.v1.asset_pb2 import MediaInfo
from framewire.v1.job_pb2 import (
    JOB_STATE_QUEUED,
    JOB_STATE_RUNNING,
    Event,
    InputProbed,
    LogLine,
    Preview,
    Progress,
    Segment,
    StatusChange,
)
from framewire.work.v1.work_pb2 import JobOrder


class _Kind(TypedDict, total=False):
    """What an event says: one of these."""

    status: StatusChange
    progress: Progress
    input: InputProbed
    log: LogLine
    preview: Preview
    segment: Segment


class Journal:
    """Appends one at a time, in the order they were asked for.

    Everything raises EventConflict once somebody else has written to the log, and Unavailable when the
    bus stays away for longer than `patience` seconds. A caller that is cancelled does not tear an append
    apart: it is finished first, so that `after` is always known.
    """

    def __init__(self, log: EventLog, order: JobOrder, last: Event | None, *, worker: str, patience: float) -> None:
        self._log = log
        self._order = order
        self._worker = worker
        self._patience = patience
        self._after = last.number if last else 0
        self._doubtful: list[Event] = []
        self._turn = asyncio.Lock()
        self._pending: set[asyncio.Future[None]] = set()
        self.attempt = last.attempt if last else 0
        """The attempt that runs, or the one before as long as `begin` has not succeeded."""
        self.begun = False
        """Whether this worker's attempt is in the log."""
        self.has_past = last is not None and bool(last.attempt or last.status.worker)
        """Whether earlier attempts may have said something, interrupted ones included."""
        self.is_of_later_order = last is not None and _is_beyond(order, last)
        """Whether the log went on with another order of the job: it failed and was retried by hand."""

    @property
    def newest(self) -> int:
        """Number of the newest entry this attempt knows."""
        return self._after

    @classmethod
    async def open(cls, log: EventLog, order: JobOrder, *, worker: str, patience: float) -> Journal:
        """Read where the log stands. Raises EventConflict when it has ended."""
        last = await patiently(lambda: log.last(order.job_id), patience=patience)
        if last is not None and ends_job(last):
            raise EventConflict(last)
        return cls(log, order, last, worker=worker, patience=patience)

    async def begin(self, placement: str = "own") -> None:
        """Say that the next attempt runs, here, and why here."""
        status = StatusChange(state=JOB_STATE_RUNNING, worker=self._worker, placement=placement)
        await self._finish(self._begin(self._event(self.attempt + 1, status=status)))

    async def status(self, status: StatusChange, *, attempt: int | None = None) -> None:
        """Say that the job is in another state, as a fact about `attempt` (this one, when not given)."""
        status.worker = self._worker if self.begun else ""
        event = self._event(self.attempt if attempt is None else attempt, status=status)
        await self._finish(self._append(event, self._patience))

    async def input(self, asset_id: str, media: MediaInfo) -> None:
        """Say what an input turned out to be."""
        probed = InputProbed(asset_id=asset_id, media=media)
        await self._finish(self._append(self._event(self.attempt, input=probed), self._patience))

    async def log(self, line: LogLine) -> None:
        """Add a line for people."""
        await self._finish(self._append(self._event(self.attempt, log=line), self._patience))

    async def progress(self, progress: Progress) -> None:
        """Say how far it is. Forgotten, not raised, when the bus is away: the next one says more."""
        try:
            await self._finish(self._append(self._event(self.attempt, progress=progress), 0.0))
        except Unavailable:
            return

    async def segment(self, segment: Segment, *, patience: float) -> None:
        """Say that a segment is in the store. Between tries, while the bus is away, others have their turn."""
        event = self._event(self.attempt, segment=segment)
        await patiently(lambda: self._finish(self._append(event, 0.0)), patience=patience, limit=2 * CALL_LIMIT)

    def preview(self, preview: Preview) -> None:
        """Show a picture. Dropped when something else is being said: nothing waits for a picture."""
        if not self._turn.locked():
            appending = self._append(self._event(self.attempt, preview=preview), 0.0)
            task = asyncio.ensure_future(appending)
            self._pending.add(task)
            task.add_done_callback(self._pending.discard)
            task.add_done_callback(_retrieve)

    async def idle(self) -> None:
        """Wait until what a cancelled caller has left behind is written, or has failed."""
        if self._pending:
            await asyncio.wait(self._pending)

    def _event(self, attempt: int, **kind: Unpack[_Kind]) -> Event:
        time = Timestamp()
        time.GetCurrentTime()
        job_id, workspace_id = self._order.job_id, self._order.workspace_id
        return Event(job_id=job_id, workspace_id=workspace_id, time=time, attempt=attempt, **kind)

    async def _finish(self, appending: Coroutine[None, None, None]) -> None:
        task = asyncio.ensure_future(appending)
        self._pending.add(task)
        task.add_done_callback(self._pending.discard)
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            task.add_done_callback(_retrieve)
            raise

    async def _begin(self, event: Event) -> None:
        await self._append(event, self._patience)
        self.attempt, self.begun = event.attempt, True

    async def _append(self, event: Event, patience: float) -> None:
        async with self._turn:
            await patiently(lambda: self._append_once(event), patience=patience)

    async def _append_once(self, event: Event) -> None:
        while True:
            try:
                self._after = await self._log.append(event, after=self._after)
            except EventConflict as conflict:
                if self._adopt(conflict) is event:
                    return
            except (Unavailable, asyncio.CancelledError):
                self._doubtful.append(event)
                raise
            else:
                self._doubtful.clear()
                return

    def _adopt(self, conflict: EventConflict) -> Event:
        """Go on behind an own entry whose confirmation was lost, and return it; raises the conflict of others."""
        for own in self._doubtful:
            if conflict.last is not None and _same(own, conflict.last):
                self._after = conflict.last.number
                self._doubtful = [other for other in self._doubtful if other is not own]
                return own
        raise conflict


def _is_beyond(order: JobOrder, last: Event) -> bool:
    """No attempt of an order goes beyond its last; and behind its last only a retry, by no worker, queues the job."""
    by_hand = last.status.state == JOB_STATE_QUEUED and not last.status.worker
    attempts = max(order.max_attempts, 1)
    return last.attempt > attempts or (last.attempt == attempts and by_hand)


def _same(event: Event, stored: Event) -> bool:
    unnumbered = Event()
    unnumbered.CopyFrom(stored)
    unnumbered.number = event.number
    return bool(event == unnumbered)


def _retrieve(task: asyncio.Future[None]) -> None:
    """Nobody waits for it any more; its outcome is in the journal's state."""
    if not task.cancelled():
        task.exception()
