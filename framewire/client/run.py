"""A clip all the way: upload, job, events, download."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from framewire.client.client import Client
from framewire.client.errors import from_job
from framewire.errors import ErrorCode, FramewireError
from framewire.v1.asset_pb2 import Asset
from framewire.v1.job_pb2 import JOB_STATE_FAILED, JOB_STATE_SUCCEEDED, Event, Job, OutputSettings
from framewire.v1.step_pb2 import Step

_CANCEL_TIMEOUT = 5.0


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

    def uploading(self, done: int, total: int) -> None:
        """So many bytes are sent."""

    def uploaded(self, asset: Asset) -> None:
        """The upload is complete and checked."""

    def created(self, job: Job) -> None:
        """The job is queued."""

    def event(self, event: Event) -> None:
        """The job's next event."""

    def downloading(self, done: int, total: int) -> None:
        """So many bytes are received."""


async def run_clip(client: Client, order: ClipOrder, observer: RunObserver) -> Job:
    """Upload the clip, run the steps, put the result at `order.output`. Returns the job as recorded.

    Raises the job's own error when it fails. When this is cancelled, the job is cancelled too.
    """
    asset = await client.upload(order.clip, advance=observer.uploading)
    observer.uploaded(asset)
    job = await client.create_job(
        [asset.asset_id], order.steps, output=order.settings, idempotency_key=uuid.uuid4().hex
    )
    observer.created(job)
    last = await follow(client, job.job_id, observer)
    raise_unless_succeeded(last)
    job = await client.get_recorded(job.job_id, last.number)
    await client.download(job.output_asset_ids[0], order.output, advance=observer.downloading)
    return job


async def follow(client: Client, job_id: str, observer: RunObserver) -> Event:
    """Watch a job to its end and return the event that ended it. When this is cancelled, so is the job."""
    last = Event()
    try:
        async for last in client.watch(job_id):
            observer.event(last)
    except asyncio.CancelledError:
        with contextlib.suppress(FramewireError, TimeoutError):
            async with asyncio.timeout(_CANCEL_TIMEOUT):
                await client.cancel_job(job_id)
        raise
    return last


def raise_unless_succeeded(end: Event) -> None:
    """Raise what a job ended with, unless it succeeded."""
    if end.status.state == JOB_STATE_FAILED:
        raise from_job(end.status.error)
    if end.status.state != JOB_STATE_SUCCEEDED:
        raise FramewireError(end.status.message or "the job was cancelled", code=ErrorCode.CANCELLED)
