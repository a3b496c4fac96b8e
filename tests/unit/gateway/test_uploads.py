"""Uploads, downloads and deletions."""

from __future__ import annotations

import asyncio
import hashlib
import sys
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from unittest.mock import AsyncMock, patch

import grpc
import pytest
from clips import Clip, make_clip
from google.rpc import error_details_pb2, status_pb2

from framewire.db.assets import AssetStore
from framewire.db.expiring import ExpiryStore
from framewire.db.uploads import UploadStore
from framewire.errors import Conflict
from framewire.jobs.ids import new_asset_id
from framewire.storage.keys import upload_key
from framewire.v1.asset_pb2 import (
    ASSET_STATE_READY,
    ASSET_STATE_UPLOADING,
    Asset,
    CompleteUploadRequest,
    CreateDownloadUrlRequest,
    DeleteAssetRequest,
    GetAssetRequest,
)
from framewire.v1.job_pb2 import JOB_STATE_QUEUED, JOB_STATE_RUNNING, JOB_STATE_SUCCEEDED, JOB_STATE_WAITING_UPLOAD
from framewire.v1.step_pb2 import LANE_GPU, ModelInfo
from gateway.janitor import Janitor
from gateway.recorder import KEYS
from gateway.uploads import UploadChecker, UploadSettings
from gateway.uploads.deletions import DELETIONS


def reason(error: grpc.aio.AioRpcError) -> str:
    status = status_pb2.Status.FromString(dict(error.trailing_metadata())["grpc-status-details-bin"])
    info = error_details_pb2.ErrorInfo()
    status.details[0].Unpack(info)
    return info.reason


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (None, "UPLOAD_MISSING"),
        (b"too many bytes", "UPLOAD_SIZE_MISMATCH"),
        (b"other", "UPLOAD_HASH_MISMATCH"),
    ],
)
async def test_wrong_bytes_are_discarded_and_may_be_sent_again(here, sent, code):
    asset, upload = await here.reserve(b"bytes", sha256=hashlib.sha256(b"bytes").hexdigest())
    if sent is not None:  # a signed URL takes no other length: by way of one it would not get this far
        await here.store.put_bytes(upload_key("default", asset.asset_id), sent)
    complete = CompleteUploadRequest(asset_id=asset.asset_id)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await here.assets.CompleteUpload(complete)
    assert reason(caught.value) == code
    assert here.store._objects == {}
    after = await here.assets.GetAsset(GetAssetRequest(asset_id=asset.asset_id))
    assert after.state == ASSET_STATE_UPLOADING
    await here.send(upload, b"bytes")
    assert (await here.assets.CompleteUpload(complete)).state == ASSET_STATE_READY


async def test_completing_twice_gives_the_same_asset(here):
    asset = await here.upload()
    again = await here.assets.CompleteUpload(CompleteUploadRequest(asset_id=asset.asset_id))
    assert again == asset


async def test_a_job_may_be_created_while_its_input_is_still_on_its_way(here):
    asset, upload = await here.reserve(b"bytes")
    job = await here.submit(asset.asset_id)
    assert job.state == JOB_STATE_WAITING_UPLOAD
    await here.send(upload, b"bytes")
    await here.assets.CompleteUpload(CompleteUploadRequest(asset_id=asset.asset_id))
    delivery = await here.bus.jobs.pull([LANE_GPU], wait=5)
    assert delivery.order.inputs[0].sha256 == hashlib.sha256(b"bytes").hexdigest()
    assert (await here.job_store.get("default", job.job_id)).state == JOB_STATE_QUEUED


async def test_a_ready_asset_can_be_downloaded_under_its_name(here, monkeypatch):
    asset = await here.upload(b"a clip")
    signed = (await here.assets.CreateDownloadUrl(CreateDownloadUrlRequest(asset_id=asset.asset_id))).download
    assert signed.method == "GET"
    assert f"default/assets/{asset.asset_id}/" in signed.url


async def test_an_asset_that_is_not_there_yet_cannot_be_downloaded(here):
    asset, _ = await here.reserve()
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await here.assets.CreateDownloadUrl(CreateDownloadUrlRequest(asset_id=asset.asset_id))
    assert reason(caught.value) == "ASSET_NOT_READY"


async def test_an_asset_is_deleted_with_its_bytes_once_no_job_needs_it(here):
    asset = await here.upload()
    delete = DeleteAssetRequest(asset_id=asset.asset_id)
    job = await here.submit(asset.asset_id)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await here.assets.DeleteAsset(delete)
    assert reason(caught.value) == "ASSET_IN_USE"
    await here.relayed()
    number = await here.say(job.job_id, 5)
    await here.recorded(job.job_id, number)
    async with here.http.delete(here.url(f"/v1/assets/{asset.asset_id}")) as answer:
        assert (answer.status, await answer.text()) == (200, "{}")
    await here.relayed()
    assert here.store._objects == {}


async def test_a_signed_upload_can_change_nothing_once_the_asset_is_complete(here):
    asset, upload = await here.reserve(b"bytes")
    await here.send(upload, b"bytes")
    await here.assets.CompleteUpload(CompleteUploadRequest(asset_id=asset.asset_id))
    await here.send(upload, b"other")
    stored = await here.asset_store.get("default", asset.asset_id)
    assert b"".join([piece async for piece in here.store.read(stored.object_key)]) == b"bytes"


async def test_an_upload_completed_many_times_at_once_is_kept_once(here):
    asset, upload = await here.reserve(b"bytes")
    await here.send(upload, b"bytes")
    complete = CompleteUploadRequest(asset_id=asset.asset_id)
    answers = await asyncio.gather(*(here.assets.CompleteUpload(complete) for _ in range(8)))
    assert all(answer == answers[0] for answer in answers)
    await here.relayed()
    stored = await here.asset_store.get("default", asset.asset_id)
    assert list(here.store._objects) == [stored.object_key]


async def test_a_completion_that_another_overtakes_gives_the_same_asset(here, monkeypatch):
    asset, upload = await here.reserve(b"bytes")
    await here.send(upload, b"bytes")
    complete, copy = CompleteUploadRequest(asset_id=asset.asset_id), here.store.copy

    async def overtaken(source, target):
        monkeypatch.setattr(here.store, "copy", copy)
        await here.assets.CompleteUpload(complete)
        await here.relayed()  # what was sent is gone
        await copy(source, target)

    monkeypatch.setattr(here.store, "copy", overtaken)
    assert (await here.assets.CompleteUpload(complete)).state == ASSET_STATE_READY


async def test_nothing_is_left_of_an_asset_that_is_deleted_while_it_is_completed(here, monkeypatch):
    asset, upload = await here.reserve(b"bytes")
    await here.send(upload, b"bytes")

    async def late(source, target):
        await here.assets.DeleteAsset(DeleteAssetRequest(asset_id=asset.asset_id))
        await here.relayed()
        await here.store.put_bytes(target, b"bytes")

    monkeypatch.setattr(here.store, "copy", late)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await here.assets.CompleteUpload(CompleteUploadRequest(asset_id=asset.asset_id))
    assert reason(caught.value) == "ASSET_NOT_FOUND"
    assert here.store._objects == {}


async def test_only_a_few_uploads_are_read_at_once(here):
    reading, most, go_on = 0, 0, asyncio.Event()
    full = asyncio.Event()

    class Slow:
        async def head(self, key):
            nonlocal reading, most
            reading += 1
            most = max(most, reading)
            if reading == 2:
                full.set()
            await go_on.wait()
            reading -= 1

    checker = UploadChecker(Slow(), UploadSettings(checks_at_once=2))
    asset, _ = await here.reserve()
    stored = await here.asset_store.get("default", asset.asset_id)
    checks = [asyncio.ensure_future(checker.accept(stored)) for _ in range(6)]
    async with asyncio.timeout(5):
        await full.wait()
        go_on.set()
        results = await asyncio.gather(*checks, return_exceptions=True)
    assert most == 2
    assert {result.code for result in results} == {"UPLOAD_MISSING"}


async def test_a_thumbnail_is_signed_where_there_is_one_and_refused_where_there_is_none(here):
    await here.announce(ModelInfo(name="enhance_x2", scale=2))
    source = await here.upload()
    job = await here.submit(source.asset_id)
    await here.relayed()
    await here.say(job.job_id, JOB_STATE_RUNNING)
    result = Asset(asset_id=new_asset_id(), filename="clip_x2.mp4", state=ASSET_STATE_READY, has_thumbnail=True)
    number = await here.say(job.job_id, JOB_STATE_SUCCEEDED, outputs=[result])
    await here.recorded(job.job_id, number)
    asked = CreateDownloadUrlRequest(asset_id=result.asset_id, thumbnail=True)
    url = (await here.assets.CreateDownloadUrl(asked)).download.url
    assert f"default/thumbnails/{job.job_id}/1.jpg" in url
    asked.asset_id = source.asset_id
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await here.assets.CreateDownloadUrl(asked)
    assert reason(caught.value) == "THUMBNAIL_NOT_FOUND"


PROBE = UploadSettings(
    probe=(sys.executable, "-P", "-m", "coordinator.probe"), probe_environment={"OPENBLAS_NUM_THREADS": "1"}
)


async def test_an_asset_knows_what_is_inside_before_any_job_needs_it(with_settings, tmp_path):
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    film = make_clip(tmp_path / "clip.mp4", Clip(frames=10)).read_bytes()
    async with with_settings(uploads=replace(PROBE, scratch=scratch)) as here:
        asset = await here.upload(film)
        again = await here.upload(film)
    assert (asset.media.video.codec, asset.media.video.frames) == ("h264", 10)
    assert again.media == asset.media
    assert again.asset_id != asset.asset_id
    assert list(scratch.iterdir()) == []


@pytest.mark.parametrize(
    ("body", "code"),
    [(b"<html>", "UPLOAD_TYPE_UNSUPPORTED"), (b"\0\0\0\x18ftypisom" + bytes(999), "MEDIA_UNREADABLE")],
)
async def test_what_nothing_can_be_done_with_never_becomes_an_asset(with_settings, tmp_path, body, code):
    async with with_settings(uploads=replace(PROBE, scratch=tmp_path)) as here:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await here.upload(body)
        assert reason(caught.value) == code
        assert here.store._objects == {}
    assert list(tmp_path.iterdir()) == []


async def test_a_copy_by_hash_lives_on_when_the_original_is_deleted(here):
    first = await here.upload(b"the same bytes")
    second = await here.upload(b"the same bytes")
    assert first.asset_id != second.asset_id
    await here.assets.DeleteAsset(DeleteAssetRequest(asset_id=first.asset_id))
    await here.relayed()
    stored = await here.asset_store.get("default", second.asset_id)
    assert b"".join([piece async for piece in here.store.read(stored.object_key)]) == b"the same bytes"
    assert list(here.store._objects) == [stored.object_key]


async def test_a_gateway_that_dies_while_it_copies_by_hash_leaves_nothing_for_ever(with_settings, monkeypatch):
    settings = UploadSettings(kinds=frozenset(), time=timedelta(milliseconds=1), keep=None)
    async with with_settings(uploads=settings) as here:
        first = await here.upload(b"the same bytes")
        await here.relayed()
        completing = AsyncMock(side_effect=RuntimeError("killed here"))
        monkeypatch.setattr(AssetStore, "complete_upload", completing)
        with pytest.raises(grpc.aio.AioRpcError):
            await here.reserve(b"the same bytes", sha256=first.sha256)
        monkeypatch.undo()
        stored = await here.asset_store.get("default", first.asset_id)
        assert len(here.store._objects) == 2
        expiry = ExpiryStore(here.database, DELETIONS, KEYS)
        await Janitor(expiry, here.store, UploadChecker(here.store, settings), settings).round()
        await here.relayed()
        assert list(here.store._objects) == [stored.object_key]


async def test_no_more_is_written_for_the_probe_than_was_declared(here, tmp_path):
    """What lies there was replaced by something larger after its size was looked at."""
    asset, upload = await here.reserve(b"bytes")
    await here.send(upload, b"bytes")
    copy = here.store.copy

    async def replaced(source: str, target: str) -> None:
        await here.store.put_bytes(source, bytes(100_000))
        await copy(source, target)

    here.store.copy = replaced
    written: list[int] = []
    unlink = Path.unlink

    def noted(path: Path, missing_ok: bool = False) -> None:
        written.append(path.stat().st_size)
        unlink(path, missing_ok=missing_ok)

    settings = UploadSettings(kinds=frozenset(), scratch=tmp_path)
    checker = UploadChecker(here.store, settings, probe=AsyncMock())
    stored = await here.asset_store.get("default", asset.asset_id)
    with patch.object(Path, "unlink", noted), pytest.raises(Conflict, match="were declared"):
        await checker.accept(stored)
    assert written == [0]


async def test_bytes_that_are_gone_from_the_store_are_asked_for_again(here):
    first = await here.upload(b"the same bytes")
    here.store._objects.clear()
    asset, upload = await here.reserve(b"the same bytes", sha256=first.sha256)
    assert (asset.state, upload.method) == (ASSET_STATE_UPLOADING, "PUT")


async def test_an_upload_belongs_to_one_gateway_at_a_time_until_its_lease_is_over(here):
    asset, _ = await here.reserve()
    uploads = UploadStore(here.database)
    assert await uploads.hold(asset.asset_id, "one", 30)
    assert await uploads.hold(asset.asset_id, "one", 30)
    assert not await uploads.hold(asset.asset_id, "two", 30)
    assert await uploads.hold(asset.asset_id, "one", -1)  # it has said nothing for so long
    assert await uploads.hold(asset.asset_id, "two", 30)
    await uploads.let_go(asset.asset_id, "one")
    assert not await uploads.hold(asset.asset_id, "three", 30)
    await uploads.let_go(asset.asset_id, "two")
    assert await uploads.hold(asset.asset_id, "three", 30)
