"""Watching a job: the database says that it exists, the event log says everything else."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator

from framewire.bus.interface import EventLog
from framewire.db.assets import AssetStore
from framewire.db.jobs import JobStore
from framewire.errors import NotFound
from framewire.jobs.states import TERMINAL, ends_job
from framewire.v1.asset_pb2 import Asset
from framewire.v1.job_pb2 import JOB_STATE_SUCCEEDED, Event, Job, StatusChange
from gateway.fanout import Fanout
from gateway.shared import Messages, Shared

RECORDED_WITHIN = 5.0
"""Seconds a watcher waits at most for the row to show the end it is about to be told."""
_RECORDED_PAUSE = 0.02

Watch = Messages
"""Events on their way to one watcher, each shared with all others."""


class Watcher:
    """One reader of the log a job (gateway/fanout.py). A slow watcher slows nobody else."""

    def __init__(self, jobs: JobStore, assets: AssetStore, events: EventLog, stopping: asyncio.Event) -> None:
        self._jobs = jobs
        self._assets = assets
        self._events = events
        self._fanout = Fanout(stopping)

    async def watch(self, workspace_id: str, job_id: str, *, after: int) -> Watch | None:
        """The job's events with numbers above `after`, None when there will be none.

        Ends after the event that ends the job, and with Unavailable (SERVER_STOPPING) when the gateway stops.
        Raises NotFound (JOB_NOT_FOUND).
        """
        job = await self._jobs.get(workspace_id, job_id)
        last = await self._events.last(job_id)
        if last is None:
            return await self._watch_forgotten(job, after)
        if ends_job(last) and after >= last.number and not _goes_on(job, last.number):
            return None
        return self._follow(job, after)

    def _follow(self, job: Job, after: int) -> Watch:
        return self._fanout.follow(job.job_id, lambda number: self._recorded_first(job, number), after=after)

    async def _recorded_first(self, job: Job, after: int) -> AsyncGenerator[Event, None]:
        """The events; the one that ends the job is held back until GetJob tells the same, or for a few seconds.

        Where the job was retried and the log does not know yet, what the log calls the end is none.
        """
        while True:
            async with contextlib.aclosing(self._until_end(job, after)) as events:
                async for event in events:
                    after = event.number
                    yield event
            if not _goes_on(await self._jobs.get(job.workspace_id, job.job_id), after):
                return

    async def _until_end(self, job: Job, after: int) -> AsyncGenerator[Event, None]:
        events = self._events.read(job.job_id, after=after)
        try:
            async for event in events:
                if ends_job(event):
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(RECORDED_WITHIN):
                            await self._recorded(job, event.number)
                yield event
        finally:
            if close := getattr(events, "aclose", None):
                await close()

    async def _recorded(self, job: Job, number: int) -> None:
        """Wait for the row. Looking is the only way: another gateway's recorder may be the one that folds the event."""
        row = job
        while row.last_event < number:
            await asyncio.sleep(_RECORDED_PAUSE)
            row = await self._jobs.get(job.workspace_id, job.job_id)

    async def _watch_forgotten(self, job: Job, after: int) -> Watch | None:
        """The log is empty: nothing was said yet, or the log has forgotten what the row remembers."""
        ended = job.state in TERMINAL
        if after >= job.last_event:
            return None if ended else self._follow(job, after)
        outputs = await outputs_of(self._assets, job)
        remembered = snapshot(job, outputs)
        follow = None if ended else self._follow(job, job.last_event)
        return _first(remembered, follow)


def _goes_on(row: Job, end: int) -> bool:
    """Whether a job whose newest event `end` ends it was asked to run again: the row knows before the log does."""
    return row.state not in TERMINAL and row.last_event >= end


async def outputs_of(assets: AssetStore, job: Job) -> list[Asset]:
    """The job's results; of one that was deleted since, what is still known."""
    outputs = []
    for asset_id in job.output_asset_ids:
        try:
            outputs.append((await assets.get(job.workspace_id, asset_id)).asset)
        except NotFound:
            outputs.append(Asset(asset_id=asset_id, workspace_id=job.workspace_id, source_job_id=job.job_id))
    return outputs


def snapshot(job: Job, outputs: list[Asset]) -> Event:
    """One status event that says what the row says, with the number of the last event the row knows."""
    status = StatusChange(state=job.state, worker=job.worker, message="earlier events are no longer kept")
    if job.HasField("error"):
        status.error.CopyFrom(job.error)
    if job.state == JOB_STATE_SUCCEEDED:
        status.outputs.extend(outputs)
        status.fidelity.CopyFrom(job.fidelity)
    time = job.end_time if job.HasField("end_time") else job.create_time
    return Event(
        number=job.last_event,
        job_id=job.job_id,
        workspace_id=job.workspace_id,
        time=time,
        attempt=job.attempt,
        status=status,
    )


async def _first(event: Event, rest: Watch | None) -> AsyncGenerator[Shared[Event], None]:
    yield Shared(event)
    if rest is not None:
        async with contextlib.aclosing(rest) as events:
            async for following in events:
                yield following
