"""What expires, and what is left by those who died, is deleted."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import grpc
import pytest
from ulid import ULID

from framewire.db.expiring import ExpiryStore
from framewire.jobs.ids import new_asset_id
from framewire.storage.keys import result_key, segment_key, tail_key, upload_key
from framewire.v1.asset_pb2 import (
    ASSET_STATE_READY,
    Asset,
    CreateUploadRequest,
    GetAssetRequest,
    SignUploadPartsRequest,
)
from framewire.v1.job_pb2 import (
    JOB_STATE_FAILED,
    JOB_STATE_RUNNING,
    JOB_STATE_SUCCEEDED,
    Error,
    GetJobRequest,
    RetryJobRequest,
)
from gateway.janitor import Janitor
from gateway.recorder import KEYS
from gateway.uploads import UploadChecker, UploadSettings
from gateway.uploads.deletions import DELETIONS

MOMENT = timedelta(milliseconds=1)


def a_janitor(here, **settings) -> Janitor:
    settings = UploadSettings(kinds=frozenset(), **settings)
    return Janitor(
        ExpiryStore(here.database, DELETIONS, KEYS), here.store, UploadChecker(here.store, settings), settings
    )


async def gone(here, asset_id: str) -> bool:
    async with here.http.get(here.url(f"/v1/assets/{asset_id}")) as answer:
        assert answer.status in {200, 404}
        return answer.status == 404


async def test_an_upload_never_finished_goes_with_its_parts_and_its_jobs_fail(with_settings):
    async with with_settings(uploads=UploadSettings(kinds=frozenset(), time=MOMENT)) as here:
        request = CreateUploadRequest(filename="a.mp4", size_bytes=20 << 20, multipart=True)
        asset = (await here.assets.CreateUpload(request)).asset
        answer = await here.assets.SignUploadParts(SignUploadPartsRequest(asset_id=asset.asset_id, part_numbers=[1]))
        await here.send(answer.parts[0].upload, bytes(8 << 20))
        await here.store.put_bytes(tail_key("default", asset.asset_id, 8 << 20), b"tail")
        job = await here.submit(asset.asset_id)
        await asyncio.gather(*(a_janitor(here).round() for _ in range(2)))
        assert await gone(here, asset.asset_id)
        await here.relayed()
        assert (here.store._objects, here.store._uploads) == ({}, {})
        last = await here.bus.events.last(job.job_id)
        failed = await here.recorded(job.job_id, last.number)
        assert (failed.state, failed.error.code) == (JOB_STATE_FAILED, "UPLOAD_EXPIRED")
        with pytest.raises(grpc.aio.AioRpcError, match="no asset"):
            await here.jobs.RetryJob(RetryJobRequest(job_id=job.job_id))


async def test_an_asset_goes_when_its_time_is_over_and_no_job_needs_it(with_settings):
    async with with_settings(uploads=UploadSettings(kinds=frozenset(), keep=MOMENT)) as here:
        needed, free = await here.upload(b"needed"), await here.upload(b"free")
        job = await here.submit(needed.asset_id)
        await here.relayed()
        await a_janitor(here, keep=MOMENT).round()
        assert await gone(here, free.asset_id)
        assert not await gone(here, needed.asset_id)
        number = await here.say(job.job_id, JOB_STATE_SUCCEEDED)
        await here.recorded(job.job_id, number)
        await a_janitor(here, keep=MOMENT).round()
        assert await gone(here, needed.asset_id)
        await here.relayed()
        assert here.store._objects == {}


async def test_an_asset_says_when_it_goes_and_a_result_too(here):
    asset = await here.upload()
    left = asset.expire_time.ToDatetime(UTC) - datetime.now(UTC)
    assert timedelta(days=6) < left < timedelta(days=7, minutes=1)
    job = await here.submit(asset.asset_id)
    await here.relayed()
    await here.say(job.job_id, JOB_STATE_RUNNING)
    result = Asset(asset_id=new_asset_id(), filename="x.mp4", state=ASSET_STATE_READY, has_thumbnail=True)
    number = await here.say(job.job_id, JOB_STATE_SUCCEEDED, outputs=[result])
    await here.recorded(job.job_id, number)
    await a_janitor(here).round()
    told = await here.assets.GetAsset(GetAssetRequest(asset_id=result.asset_id))
    assert told.HasField("expire_time")


async def test_a_result_takes_its_thumbnail_along(here):
    asset = await here.upload()
    job = await here.submit(asset.asset_id)
    await here.relayed()
    result = Asset(asset_id=new_asset_id(), filename="x.mp4", state=ASSET_STATE_READY, has_thumbnail=True)
    number = await here.say(job.job_id, JOB_STATE_SUCCEEDED, outputs=[result])
    await here.recorded(job.job_id, number)
    stored = await here.asset_store.get("default", result.asset_id)
    for key in (stored.object_key, stored.thumbnail_key):
        await here.store.put_bytes(key, b"x")
    await a_janitor(here, keep=-timedelta(days=1)).round()
    assert await gone(here, result.asset_id)
    await here.relayed()
    assert await here.store.head(stored.object_key) is None
    assert await here.store.head(stored.thumbnail_key) is None


async def test_segments_of_a_failed_job_go_once_and_again_after_it_failed_again(here):
    asset = await here.upload()
    job = await here.submit(asset.asset_id)
    await here.relayed()
    key = segment_key("default", job.job_id, 1, 0)
    await here.store.put_bytes(key, b"x")
    number = await here.say(job.job_id, JOB_STATE_FAILED, error=Error(code="INTERNAL", message="no"))
    await here.recorded(job.job_id, number)
    await a_janitor(here).round()
    await here.relayed()
    assert await here.store.head(key) is not None
    store = ExpiryStore(here.database, DELETIONS, KEYS)
    late = datetime.now(UTC) + timedelta(days=1)
    assert await store.delete_segments(late) == 1
    assert await store.delete_segments(late) == 0
    await here.relayed()
    assert await here.store.head(key) is None
    await here.jobs.RetryJob(RetryJobRequest(job_id=job.job_id))
    await here.relayed()
    await here.say(job.job_id, JOB_STATE_RUNNING)
    number = await here.say(job.job_id, JOB_STATE_FAILED, error=Error(code="INTERNAL", message="no"))
    await here.recorded(job.job_id, number)
    assert (await here.jobs.GetJob(GetJobRequest(job_id=job.job_id))).state == JOB_STATE_FAILED
    assert await store.delete_segments(late) == 1


async def test_what_no_row_knows_of_is_swept_and_what_is_under_way_is_not(here):
    old = f"ast_{str(ULID.from_datetime(datetime.now(UTC) - timedelta(days=3))).lower()}"
    await here.store.put_bytes(upload_key("default", old), b"sent after the end")
    await here.store.put_bytes(tail_key("default", old, 0), b"tail")
    await here.store.begin_parts(upload_key("default", old))
    request = CreateUploadRequest(filename="a.mp4", size_bytes=20 << 20, multipart=True)
    asset = (await here.assets.CreateUpload(request)).asset
    await here.assets.SignUploadParts(SignUploadPartsRequest(asset_id=asset.asset_id))
    await here.store.put_bytes(upload_key("default", asset.asset_id), b"under way")
    await a_janitor(here).sweep(datetime.now(UTC) + timedelta(hours=2))
    assert list(here.store._objects) == [upload_key("default", asset.asset_id)]
    (upload,) = here.store._uploads.values()
    assert upload.key == upload_key("default", asset.asset_id)


async def test_parts_of_a_result_whose_worker_died_are_swept_and_those_being_sent_are_not(here):
    await here.reserve()  # the workspace is known
    await here.store.begin_parts(result_key("default", "job_a", 1, "ast_a"))
    await a_janitor(here).sweep(datetime.now(UTC) + timedelta(hours=24))
    assert len(here.store._uploads) == 1
    await a_janitor(here).sweep(datetime.now(UTC) + timedelta(hours=26))
    assert here.store._uploads == {}
