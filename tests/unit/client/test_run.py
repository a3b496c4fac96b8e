"""A clip all the way: what is refused costs no upload, and no job is left waiting for one that does not come."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from framewire.client import Client
from framewire.client.run import ClipOrder, RunObserver, run_clip, submit_clip
from framewire.errors import ErrorCode, InvalidRequest, Unavailable
from framewire.steps.parse import parse_step
from framewire.v1.asset_pb2 import Asset
from framewire.v1.job_pb2 import JOB_STATE_SUCCEEDED, JOB_STATE_WAITING_UPLOAD, Event, Job, StatusChange

if TYPE_CHECKING:
    from conftest import Gateway, Store

STEPS = [parse_step("enhance:scale=3")]

Way = Callable[[Client, Path], Awaitable[Job]]


async def run(client: Client, clip: Path) -> Job:
    return await run_clip(client, ClipOrder(clip=clip, steps=STEPS, output=clip.with_suffix(".out")), RunObserver())


async def submit(client: Client, clip: Path) -> Job:
    return await submit_clip(client, clip, STEPS)


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    path = tmp_path / "clip.bin"
    path.write_bytes(bytes(4_000_000))  # several pieces
    return path


@pytest.fixture
def accepted(gateway: Gateway) -> Gateway:
    """A gateway that accepts job_1."""
    gateway.accepts = True
    gateway.job = Job(job_id="job_1", state=JOB_STATE_WAITING_UPLOAD)
    return gateway


@pytest.mark.parametrize("way", [run, submit])
async def test_no_byte_is_sent_when_the_job_is_refused(client: Client, store: Store, clip: Path, way: Way) -> None:
    with pytest.raises(InvalidRequest, match="scale"):
        await way(client, clip)
    assert store.requests == 0


@pytest.mark.parametrize("way", [run, submit])
async def test_a_job_whose_clip_cannot_be_sent_is_cancelled(
    client: Client, accepted: Gateway, store: Store, clip: Path, way: Way
) -> None:
    store.failures = 100
    with pytest.raises(Unavailable) as caught:
        await way(client, clip)
    assert caught.value.code is ErrorCode.STORE_UNAVAILABLE
    assert accepted.cancelled == ["job_1"]


async def test_leaving_during_the_upload_cancels_the_job(
    client: Client, accepted: Gateway, store: Store, clip: Path
) -> None:
    sending = asyncio.Event()

    class Observer(RunObserver):
        def uploading(self, done: int, total: int) -> None:
            sending.set()

    store.hold = asyncio.Event()
    order = ClipOrder(clip=clip, steps=STEPS, output=clip.with_suffix(".out"))
    task = asyncio.create_task(run_clip(client, order, Observer()))
    async with asyncio.timeout(10):
        await sending.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    store.hold.set()
    assert accepted.cancelled == ["job_1"]


@pytest.mark.parametrize("way", [run, submit])
async def test_leaving_while_the_job_is_created_cancels_it(
    client: Client, accepted: Gateway, store: Store, clip: Path, way: Way
) -> None:
    accepted.hold = asyncio.Event()
    task = asyncio.ensure_future(way(client, clip))
    async with asyncio.timeout(10):
        await accepted.asked.wait()
        task.cancel()
        accepted.hold.set()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert accepted.cancelled == ["job_1"]
    assert store.requests == 0


async def test_a_submitted_job_has_its_clip(client: Client, accepted: Gateway, store: Store, clip: Path) -> None:
    assert (await submit(client, clip)).job_id == "job_1"
    assert store.objects["/ast_1"] == clip.read_bytes()
    assert accepted.cancelled == []


async def test_a_run_tells_of_the_job_before_the_upload(
    client: Client, accepted: Gateway, store: Store, clip: Path
) -> None:
    told: list[str] = []

    class Observer(RunObserver):
        def created(self, job: Job) -> None:
            told.append(job.job_id)

        def uploaded(self, asset: Asset) -> None:
            told.append(asset.asset_id)
            accepted.events.append(Event(number=1, status=StatusChange(state=JOB_STATE_SUCCEEDED)))
            accepted.job = Job(job_id="job_1", last_event=1, output_asset_ids=["ast_1"])

    order = ClipOrder(clip=clip, steps=STEPS, output=clip.with_suffix(".out"))
    await run_clip(client, order, Observer())
    assert told == ["job_1", "ast_1"]
    assert order.output.read_bytes() == clip.read_bytes()
