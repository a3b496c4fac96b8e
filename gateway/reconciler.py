"""Database and streams agree again after one of them was restored from behind the other, or lost something.

Usually they agree, and a round costs one look at each job that has an order in the queue: the windows of fairness keep
these few. The log is the truth where it has something to say; where it has forgotten, the row is.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from typing import cast

from framewire.bus.interface import Bus, EventConflict
from framewire.db.assets import AssetStore
from framewire.db.jobs import JobStore
from framewire.db.repair import RepairStore
from framewire.jobs.states import TERMINAL, ends_job
from framewire.v1.asset_pb2 import Asset
from framewire.v1.job_pb2 import JOB_STATE_CANCELLED, JOB_STATE_QUEUED, Event, Job, StatusChange
from framewire.work.v1.work_pb2 import JobOrder
from gateway.recorder import KEYS
from gateway.watch import outputs_of, snapshot

EVERY = 15.0
"""Seconds between two looks."""
_BATCH = 200
_ROUNDS = 20
_LOG_KNOWS = timedelta(days=9)
"""A day more than events are kept."""
log = logging.getLogger(__name__)


class Reconciler:
    """One round looks at every unfinished job; the first and then every twentieth also at those that rest.

    Those are the jobs that have ended and those that wait for an upload: the log may have forgotten how one
    ended, or may know that it went on. Only jobs the log may still know are asked for.
    """

    def __init__(self, repair: RepairStore, jobs: JobStore, assets: AssetStore, bus: Bus) -> None:
        self._repair = repair
        self._jobs = jobs
        self._assets = assets
        self._events = bus.events
        self._queue = bus.jobs
        self._cancellations = bus.cancellations
        self._workers = bus.workers
        self._rounds = 0
        self._behind: dict[str, int] = {}
        """Jobs whose row was behind the log at the last look, and how far the row was."""
        self._stopping: dict[str, int] = {}
        """Jobs that were to stop at the last look, and how far their log was."""

    async def round(self) -> None:
        """Look at everything."""
        if self._rounds % _ROUNDS == 0:
            await self._look_at_resting()
        await self._look_at_unfinished()
        self._rounds += 1

    async def _look_at_unfinished(self) -> None:
        behind: dict[str, int] = {}
        stopping, self._stopping = self._stopping, {}
        after = ""
        while found := await self._repair.unfinished(after=after, limit=_BATCH):
            for job, order in found:
                if job.cancel_requested and await self._is_stopped(job, order, stopping.get(job.job_id)):
                    continue
                if await self._look_at(job, order):
                    behind[job.job_id] = job.last_event
            after = found[-1][0].job_id
        self._behind = behind

    async def _look_at(self, job: Job, order: JobOrder) -> bool:
        """Make row and log agree. Whether the row is behind, which is the recorder's to mend until the next look."""
        last = await self._events.last(job.job_id)
        if job.cancel_requested and (last is None or not ends_job(last)):
            await self._ask_again_to_stop(job)
        if last is None:
            log.warning("%s: the log has forgotten it; queued again", job.job_id)
            await self._repair.begin_anew(job, _queued_again(job))
        elif last.number == job.last_event and not ends_job(last):
            await self._queue.publish(order)  # changes nothing unless the queue has lost it
        elif last.number > job.last_event and self._behind.get(job.job_id) != job.last_event:
            return True
        else:
            log.warning("%s: the row says event %d, the log %d; folded anew", job.job_id, job.last_event, last.number)
            await self._fold_anew(job, last)
        return False

    async def _is_stopped(self, job: Job, order: JobOrder, seen: int | None) -> bool:
        """Whether a job that is to stop was stopped here, because no worker is left to do it.

        Its log has not moved since the last look, at `seen`, although a worker says something every few seconds,
        and no worker that lives says that it runs it. One that does after all is fenced by what is said here.
        """
        last = await self._events.last(job.job_id)
        if last is None or ends_job(last):
            return False
        self._stopping[job.job_id] = last.number
        if seen != last.number or any(job.job_id in each.running_job_ids for each in await self._workers.live()):
            return False
        return await self._say_cancelled(job, order, last)

    async def _say_cancelled(self, job: Job, order: JobOrder, last: Event) -> bool:
        event = Event(
            job_id=job.job_id,
            workspace_id=job.workspace_id,
            attempt=last.attempt,
            status=StatusChange(state=JOB_STATE_CANCELLED, message="its worker was lost"),
        )
        event.time.GetCurrentTime()
        try:
            await self._events.append(event, after=last.number)
        except EventConflict:
            return False
        log.warning("%s: was to stop, and its worker is lost: cancelled", job.job_id)
        await self._queue.remove(order)
        return True

    async def _ask_again_to_stop(self, job: Job) -> None:
        """The board of cancellations may have forgotten; whoever takes the order next looks there first."""
        if not await self._cancellations.is_requested(job.job_id):
            log.warning("%s: the board has forgotten that it is to stop; told", job.job_id)
            await self._cancellations.request(job.job_id)

    async def _fold_anew(self, job: Job, last: Event) -> None:
        start = job.last_event if last.number > job.last_event else 0
        events = []
        # the Protocol says AsyncIterator: every implementation is a generator, and this one is left before its end
        async with aclosing(cast("AsyncGenerator[Event, None]", self._events.read(job.job_id, after=start))) as stored:
            async for event in stored:
                events.append(event)
                if event.number >= last.number:
                    break
        if start == 0:
            await self._repair.renumber(job, 0)
        await self._jobs.fold(events, keys=KEYS)

    async def _look_at_resting(self) -> None:
        since, after = datetime.now(UTC) - _LOG_KNOWS, ""
        while found := await self._repair.resting(since=since, after=after, limit=_BATCH):
            for job in found:
                await self._look_at_rest(job)
            after = found[-1].job_id

    async def _look_at_rest(self, job: Job) -> None:
        """Fold what the row has missed, or say again how the job ended if the log has lost that."""
        last = await self._events.last(job.job_id)
        if last is None:
            return  # nothing, not even an order, is left of it in the streams
        if last.number > job.last_event:
            log.warning("%s: the row says event %d, the log %d; folded", job.job_id, job.last_event, last.number)
            await self._fold_anew(job, last)
        elif last.number < job.last_event and job.state in TERMINAL:
            log.warning("%s: the log does not know how it ended; told", job.job_id)
            await self._say_end(job, last)

    async def _say_end(self, job: Job, last: Event) -> None:
        outputs: list[Asset] = await outputs_of(self._assets, job)
        end = snapshot(job, outputs)
        end.status.message = "the log came back from a backup"
        try:
            number = await self._events.append(end, after=last.number)
        except EventConflict:
            return  # a worker was quicker; its attempt is fenced by nothing but changes no row that has ended
        await self._repair.renumber(job, number)


def _queued_again(job: Job) -> Event:
    event = Event(
        job_id=job.job_id,
        workspace_id=job.workspace_id,
        attempt=job.attempt,
        status=StatusChange(state=JOB_STATE_QUEUED, message="earlier events are no longer kept"),
    )
    event.time.GetCurrentTime()
    return event
