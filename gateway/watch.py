"""Watching a job: the database says that it exists, the event log says everything else."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator
from typing import TypeVar

from framewire.bus.interface import EventLog
from framewire.db.assets import AssetStore
from framewire.db.jobs import JobStore
from framewire.errors import ErrorCode, NotFound, Unavailable
from framewire.jobs.states import TERMINAL, ends_job
from framewire.v1.asset_pb2 import Asset
from framewire.v1.job_pb2 import JOB_STATE_SUCCEEDED, Event, Job, StatusChange

_Item = TypeVar("_Item")


class Watcher:
    """Opens one reader of the log a watcher. A slow watcher slows its own reader and nobody else."""

    def __init__(self, jobs: JobStore, assets: AssetStore, events: EventLog, stopping: asyncio.Event) -> None:
        self._jobs = jobs
        self._assets = assets
        self._events = events
        self._stopping = stopping

    async def watch(self, workspace_id: str, job_id: str, *, after: int) -> AsyncGenerator[Event, None] | None:
        """The job's events with numbers above `after`, None when there will be none.

        Ends after the event that ends the job, and with Unavailable (SERVER_STOPPING) when the gateway stops.
        Raises NotFound (JOB_NOT_FOUND).
        """
        job = await self._jobs.get(workspace_id, job_id)
        last = await self._events.last(job_id)
        if last is None:
            return await self._watch_forgotten(job, after)
        if ends_job(last) and after >= last.number:
            return None
        return until(self._stopping, self._events.read(job_id, after=after))

    async def _watch_forgotten(self, job: Job, after: int) -> AsyncGenerator[Event, None] | None:
        """The log is empty: nothing was said yet, or the log has forgotten what the row remembers."""
        ended = job.state in TERMINAL
        if after >= job.last_event:
            return None if ended else until(self._stopping, self._events.read(job.job_id, after=after))
        outputs = await outputs_of(self._assets, job)
        remembered = snapshot(job, outputs)
        follow = None if ended else until(self._stopping, self._events.read(job.job_id, after=job.last_event))
        return _first(remembered, follow)


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


async def until(stopping: asyncio.Event, source: AsyncIterator[_Item]) -> AsyncGenerator[_Item, None]:
    """What `source` gives, until `stopping` is set: then Unavailable (SERVER_STOPPING). Closes `source`."""
    stop = asyncio.ensure_future(stopping.wait())
    try:
        while True:
            coming = asyncio.ensure_future(anext(source))
            try:
                await asyncio.wait({stop, coming}, return_when=asyncio.FIRST_COMPLETED)
                if not coming.done():
                    raise Unavailable("the gateway is stopping; connect again", code=ErrorCode.SERVER_STOPPING)
            finally:
                await _cancel(coming)
            try:
                item = coming.result()
            except StopAsyncIteration:
                return
            yield item
    finally:
        await _cancel(stop)
        if close := getattr(source, "aclose", None):
            await close()


async def _cancel(task: asyncio.Future[_Item]) -> None:
    """Wait until a task that is no longer needed has really stopped. How it ended is of no interest here."""
    if not task.done():
        task.cancel()
        await asyncio.wait({task})
    if not task.cancelled():
        task.exception()


async def _first(event: Event, rest: AsyncGenerator[Event, None] | None) -> AsyncGenerator[Event, None]:
    yield event
    if rest is not None:
        async with contextlib.aclosing(rest) as events:
            async for following in events:
                yield following
