"""A clip all the way: job, upload, events, download."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from framewire.client.client import Client, Upload
from framewire.client.errors import from_job
from framewire.errors import ErrorCode, FramewireError
from framewire.v1.asset_pb2 import Asset
from framewire.v1.job_pb2 import JOB_STATE_FAILED, JOB_STATE_SUCCEEDED, Event, Job, OutputSettings, StatusChange
from framewire.v1.step_pb2 import Step

_CANCEL_TIMEOUT = 5.0
_RECORDED = 0.2
"""Seconds until it is looked again whether a cancellation is recorded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipOrder:
    """What to do with a clip."""

    clip: Path
    steps: Sequence[Step]
    output: Path
    settings: OutputSettings = field(default_factory=OutputSettings)
    """How the result is written."""


class RunObserver:
    """Sees a run go by; does nothing. Override what you want to see."""

    def created(self, job: Job) -> None:
        """The job is accepted; it waits for the upload."""

    def uploading(self, done: int, total: int) -> None:
        """So many bytes are sent."""

    def uploaded(self, asset: Asset) -> None:
        """The upload is complete and checked."""

    def event(self, event: Event) -> None:
        """The job's next event."""

    def downloading(self, done: int, total: int) -> None:
        """So many bytes are received."""


async def run_clip(client: Client, order: ClipOrder, observer: RunObserver) -> Job:
    """Create the job, send the clip, put the result at `order.output`. Returns the job as recorded.

    Raises the job's own error when it fails, and what the server refuses before any byte is sent. When this is
    cancelled, or the clip cannot be sent, the job is cancelled too.
    """
    upload, job = await _create(client, order.clip, order.steps, output=order.settings)
    async with _cancelling(client, job, upload):
        observer.created(job)
        observer.uploaded(await client.send(upload, advance=observer.uploading))
    last = await _follow(client, job.job_id, observer)
    raise_unless_succeeded(last.status)
    job = await client.get_recorded(job.job_id, last.number)
    await client.download(job.output_asset_ids[0], order.output, advance=observer.downloading)
    return job


async def submit_clip(
    client: Client,
    clip: Path,
    steps: Sequence[Step],
    *,
    output: OutputSettings | None = None,
    priority: int | None = None,
) -> Job:
    """The same up to the moment at which the job is queued. Returns the job as recorded then."""
    upload, job = await _create(client, clip, steps, output=output, priority=priority)
    async with _cancelling(client, job, upload):
        await client.send(upload)
    return await client.get_job(job.job_id)


async def _create(
    client: Client,
    clip: Path,
    steps: Sequence[Step],
    *,
    output: OutputSettings | None = None,
    priority: int | None = None,
) -> tuple[Upload, Job]:
    """A job that waits for its clip. What the server refuses it refuses here, before the clip is sent."""
    upload = await client.announce(clip)
    inputs, key = [upload.asset.asset_id], uuid.uuid4().hex
    creating = asyncio.ensure_future(
        client.create_job(inputs, steps, output=output, priority=priority, idempotency_key=key)
    )
    try:
        return upload, await asyncio.shield(creating)
    except asyncio.CancelledError:  # the server may be about to say yes
        with contextlib.suppress(FramewireError, TimeoutError):
            async with asyncio.timeout(_CANCEL_TIMEOUT):
                await _cancel(client, (await creating).job_id)
        raise


@contextlib.asynccontextmanager
async def _cancelling(client: Client, job: Job, upload: Upload) -> AsyncIterator[None]:
    """Cancel the job and delete what was sent when the block does not come to its end: nobody would go on with it."""
    try:
        yield
    except BaseException:
        await _cancel(client, job.job_id)
        await _forget(client, upload)
        raise


async def _forget(client: Client, upload: Upload) -> None:
    """Delete an upload, once it is recorded that its job is cancelled. What this leaves the server deletes later."""
    with contextlib.suppress(FramewireError, TimeoutError):
        async with asyncio.timeout(_CANCEL_TIMEOUT):
            while True:
                try:
                    return await client.delete_asset(upload.asset.asset_id)
                except FramewireError as error:
                    if error.code != ErrorCode.ASSET_IN_USE:
                        raise
                await asyncio.sleep(_RECORDED)


async def _follow(client: Client, job_id: str, observer: RunObserver) -> Event:
    """Watch a job to its end and return the event that ended it. When this is cancelled, so is the job."""
    last = Event()
    try:
        async for last in client.watch(job_id):
            observer.event(last)
    except asyncio.CancelledError:
        await _cancel(client, job_id)
        raise
    return last


async def _cancel(client: Client, job_id: str) -> None:
    with contextlib.suppress(FramewireError, TimeoutError):
        async with asyncio.timeout(_CANCEL_TIMEOUT):
            await client.cancel_job(job_id)


def raise_unless_succeeded(end: StatusChange | Job) -> None:
    """Raise what a job ended with, as its last event or its record tells, unless it succeeded."""
    if end.state == JOB_STATE_FAILED:
        raise from_job(end.error)
    if end.state != JOB_STATE_SUCCEEDED:
        message = end.message if isinstance(end, StatusChange) else ""
        raise FramewireError(message or "the job was cancelled", code=ErrorCode.CANCELLED)
