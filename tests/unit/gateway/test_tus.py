"""tus 1.0 and UploadAsset: bytes that come through the gateway."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import secrets
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from unittest.mock import AsyncMock

import grpc
import pytest
import sqlalchemy as sa
from tusclient.client import TusClient

from framewire.db.tables import uploads
from framewire.db.uploads import UploadStore
from framewire.errors import ErrorCode, Unavailable
from framewire.storage.keys import tail_key
from framewire.v1.asset_pb2 import (
    ASSET_STATE_READY,
    GetAssetRequest,
    GetUploadRequest,
    ListAssetsRequest,
    UploadAssetRequest,
    UploadStart,
)
from gateway.limits import LimitSettings
from gateway.rest import tus
from gateway.rest.settings import HttpSettings
from gateway.uploads import UploadSettings, checksum
from gateway.uploads.standing import Standing

MB = 1 << 20
CLIP = secrets.token_bytes(12 * MB + 5)  # more than a part of 8 MiB, and no whole number of anything
TUS = {"Tus-Resumable": "1.0.0"}
BYTES = {**TUS, "Content-Type": "application/offset+octet-stream"}

FAR = datetime(2999, 1, 1, tzinfo=UTC)


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


async def create(here, size: int = len(CLIP), **headers: str) -> str:
    """The address of a new upload."""
    sent = {**TUS, "Upload-Length": str(size), "Upload-Metadata": f"filename {encoded('höliday.mp4')}", **headers}
    async with here.http.post(here.url("/v1/tus"), headers=sent) as answer:
        assert answer.status == 201, await answer.text()
        return here.url(answer.headers["Location"])


async def patch(here, url: str, offset: int, data: bytes, **headers: str):
    async with here.http.patch(url, data=data, headers={**BYTES, "Upload-Offset": str(offset), **headers}) as answer:
        code = (
            ""
            if answer.status == 204
            else next(each["reason"] for each in (await answer.json())["details"] if "reason" in each)
        )
        return answer.status, code or int(answer.headers["Upload-Offset"])


async def offset_of(here, url: str) -> int:
    async with here.http.head(url, headers=TUS) as answer:
        assert (answer.status, answer.headers["Cache-Control"]) == (200, "no-store")
        return int(answer.headers["Upload-Offset"])


async def bytes_of(here, url: str) -> bytes:
    stored = await here.asset_store.get("default", url.rpartition("/")[2])
    assert stored.asset.state == ASSET_STATE_READY
    return b"".join([piece async for piece in here.store.read(stored.object_key)])


async def test_an_upload_goes_on_at_any_byte_and_its_last_byte_makes_the_asset(here):
    url, offset = await create(here), 0
    for size in (1, 5 * MB, 3 * MB + 7, 4 * MB - 3):
        assert await patch(here, url, offset, CLIP[offset : offset + size]) == (204, offset + size)
        offset += size
        assert await offset_of(here, url) == offset
        listed = (await here.assets.ListAssets(ListAssetsRequest())).assets
        assert len(listed) == (offset == len(CLIP))
    assert offset == len(CLIP)
    assert await bytes_of(here, url) == CLIP
    assert (listed[0].filename, listed[0].sha256) == ("höliday.mp4", hashlib.sha256(CLIP).hexdigest())
    await here.relayed()
    assert len(here.store._objects) == 1
    assert not here.store._uploads


async def test_a_client_that_is_not_ours_is_understood(here, tmp_path):
    (tmp_path / "clip.mp4").write_bytes(CLIP)
    client = TusClient(here.url("/v1/tus"))
    uploader = client.uploader(
        str(tmp_path / "clip.mp4"), chunk_size=5_000_000, metadata={"filename": "clip.mp4"}, upload_checksum=True
    )
    await asyncio.to_thread(uploader.upload)
    assert await bytes_of(here, uploader.url) == CLIP


async def test_options_tell_what_is_spoken(here):
    async with here.http.options(here.url("/v1/tus")) as answer:
        assert answer.status == 204
        assert answer.headers["Tus-Version"] == answer.headers["Tus-Resumable"] == "1.0.0"
        assert answer.headers["Tus-Max-Size"] == str(500 * MB)
        assert answer.headers["Tus-Checksum-Algorithm"] == "sha256,sha1,md5"
        extensions = {"creation", "creation-with-upload", "termination", "checksum", "expiration"}
        assert set(answer.headers["Tus-Extension"].split(",")) == extensions


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 412),
        ({"Tus-Resumable": "0.2.2", "Upload-Length": "5"}, 412),
        (TUS, 400),
        ({**TUS, "Upload-Defer-Length": "1"}, 400),
        ({**TUS, "Upload-Length": "-5"}, 400),
        ({**TUS, "Upload-Length": "0"}, 400),
        ({**TUS, "Upload-Length": str(501 * MB)}, 413),
        ({**TUS, "Upload-Length": "5", "Upload-Metadata": "filename ???"}, 400),
        ({**TUS, "Upload-Length": "5", "Upload-Metadata": f"sha256 {encoded('nonsense')}"}, 400),
    ],
)
async def test_what_cannot_be_an_upload_is_refused(here, headers, status):
    async with here.http.post(here.url("/v1/tus"), headers=headers) as answer:
        assert (answer.status, answer.headers["Tus-Resumable"]) == (status, "1.0.0")
        assert ("Tus-Version" in answer.headers) == (status == 412)


async def test_the_first_bytes_may_come_with_the_creation(here):
    headers = {**BYTES, "Upload-Length": "10"}
    async with here.http.post(here.url("/v1/tus"), headers=headers, data=b"12345") as answer:
        assert (answer.status, answer.headers["Upload-Offset"]) == (201, "5")
        assert parsedate_to_datetime(answer.headers["Upload-Expires"])
        url = here.url(answer.headers["Location"])
    assert await patch(here, url, 5, b"67890") == (204, 10)
    assert await bytes_of(here, url) == b"1234567890"


async def test_bytes_for_another_offset_or_of_another_type_are_refused(here):
    url = await create(here, 10)
    assert await patch(here, url, 3, b"x") == (409, "UPLOAD_OFFSET_MISMATCH")
    assert (await patch(here, url, 0, b"x", **{"Content-Type": "video/mp4"}))[0] == 415
    assert await patch(here, url, 0, b"more than ten bytes") == (413, "UPLOAD_TOO_LARGE")
    assert await offset_of(here, url) == 0


async def test_more_bytes_than_declared_are_refused_also_when_nobody_said_how_many_come(here):
    url = await create(here, 10)

    async def endless():
        for _ in range(3):
            yield b"12345"

    assert await patch(here, url, 0, endless()) == (413, "UPLOAD_TOO_LARGE")


@pytest.mark.parametrize("algorithm", ["sha256", "sha1", "md5"])
async def test_bytes_that_do_not_match_their_checksum_are_not_kept(here, algorithm):
    url = await create(here, 10)
    right = f"{algorithm} {base64.b64encode(hashlib.new(algorithm, b'12345').digest()).decode()}"
    assert await patch(here, url, 0, b"12x45", **{"Upload-Checksum": right}) == (460, "UPLOAD_CHECKSUM_MISMATCH")
    assert await offset_of(here, url) == 0
    assert await patch(here, url, 0, b"12345", **{"Upload-Checksum": right}) == (204, 5)
    assert (await patch(here, url, 5, b"x", **{"Upload-Checksum": "crc32 xxxx"}))[0] == 400


async def test_a_second_sender_is_refused_at_once(here):
    url = await create(here, 10)
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def slow():
        yield b"12345"
        begun.set()
        await go_on.wait()
        yield b"67890"

    async with asyncio.timeout(10):
        first = asyncio.create_task(patch(here, url, 0, slow()))
        await begun.wait()
        while (second := await patch(here, url, 0, b"12345"))[0] == 204:  # the first may not have arrived yet
            pytest.fail("both were let in")
        assert second == (423, "UPLOAD_BUSY")
        go_on.set()
        assert await first == (204, 10)


async def test_a_second_sender_is_refused_before_its_bytes_are_read_also_with_a_checksum(here, monkeypatch):
    url = await create(here, 10)
    assert await UploadStore(here.database).hold(url.rpartition("/")[2], "another gateway", 60)
    monkeypatch.setattr(checksum.tempfile, "TemporaryFile", None)  # nothing may be put aside
    header = f"md5 {base64.b64encode(hashlib.md5(b'12345').digest()).decode()}"
    assert await patch(here, url, 0, b"12345", **{"Upload-Checksum": header}) == (423, "UPLOAD_BUSY")


async def test_who_has_lost_the_upload_does_not_replace_what_came_after(here):
    url = await create(here, 10)
    asset_id = url.rpartition("/")[2]

    async def pieces():
        yield b"123"
        async with here.database.write() as connection:  # its lease was over, and another gateway went on
            await connection.execute(sa.update(uploads).values(writer="another", writer_until=FAR))
        await here.store.put_bytes(tail_key("default", asset_id, 0), b"12345")

    writer = here.gateway.rest._tus._parts.writer
    assert await writer.append("default", asset_id, 0, pieces()) == 3
    assert await offset_of(here, url) == 5


@pytest.mark.parametrize("wire", ["tus", "checksum", "grpc"])
async def test_who_sends_a_byte_at_a_time_for_ever_is_given_up(with_settings, wire):
    async with with_settings(uploads=UploadSettings(kinds=frozenset(), stall=0.2, slowest=1000)) as here:
        asset, _ = await here.reserve(bytes(100_000))

        async def drops():
            while True:
                yield b"x"
                await asyncio.sleep(0.01)

        async def requests():
            yield UploadAssetRequest(start=UploadStart(asset_id=asset.asset_id))
            async for drop in drops():
                yield UploadAssetRequest(data=drop)

        async with asyncio.timeout(10):
            if wire == "grpc":
                with pytest.raises(grpc.aio.AioRpcError) as caught:
                    await here.assets.UploadAsset(requests())
                assert caught.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
                return
            headers = {"Upload-Checksum": f"md5 {encoded('x')}"} if wire == "checksum" else {}
            url = here.url(f"/v1/tus/{asset.asset_id}")
            assert await patch(here, url, 0, drops(), **headers) == (504, "DEADLINE_EXCEEDED")
            assert (await offset_of(here, url) > 0) == (wire == "tus")


async def test_asking_how_far_an_upload_is_and_ending_it_are_counted_as_calls(with_settings, monkeypatch):
    async with with_settings(limits=LimitSettings(calls_at_once=1)) as here:
        url = await create(here, 10)
        looking, go_on = asyncio.Event(), asyncio.Event()

        async def slow(*_):
            looking.set()
            await go_on.wait()
            return Standing(whole=0)

        monkeypatch.setattr(tus, "standing", slow)
        first = asyncio.create_task(offset_of(here, url))
        await looking.wait()
        for verb in ("HEAD", "DELETE"):
            async with here.http.request(verb, url, headers=TUS) as answer:
                assert (answer.status, "Retry-After" in answer.headers) == (503, True)
        go_on.set()
        assert await first == 0


async def test_what_a_client_sent_before_it_went_away_is_kept(here):
    url = await create(here, 10 * MB)
    arrived = asyncio.Event()
    putting = here.store.put_bytes

    async def put(key, data):
        await putting(key, data)
        arrived.set()

    here.store.put_bytes = put

    async def broken():
        yield CLIP[: 2 * MB]
        raise ConnectionAbortedError

    with pytest.raises(Exception):  # noqa: B017, PT011 - whatever the client makes of its own failure
        await patch(here, url, 0, broken())
    async with asyncio.timeout(10):
        await arrived.wait()
    kept = await offset_of(here, url)
    assert 0 < kept <= 2 * MB
    for _ in range(50):  # until the handler of the broken request has let go
        if (answer := await patch(here, url, kept, CLIP[kept : 10 * MB]))[0] != 423:
            break
    assert answer == (204, 10 * MB)
    assert await bytes_of(here, url) == CLIP[: 10 * MB]


async def test_a_terminated_upload_is_gone_with_its_bytes(here):
    url = await create(here)
    await patch(here, url, 0, CLIP[: 9 * MB])
    async with here.http.delete(url, headers=TUS) as answer:
        assert answer.status == 204
    async with here.http.head(url, headers=TUS) as answer:
        assert answer.status == 404
    await here.relayed()
    assert here.store._objects == {}
    assert here.store._uploads == {}


async def test_bytes_of_the_wrong_hash_are_gone_and_the_upload_begins_anew(here):
    declared = hashlib.sha256(b"right").hexdigest()
    url = await create(here, 5, **{"Upload-Metadata": f"filename {encoded('a.mp4')},sha256 {encoded(declared)}"})
    assert await patch(here, url, 0, b"wrong") == (400, "UPLOAD_HASH_MISMATCH")
    assert await offset_of(here, url) == 0
    assert await patch(here, url, 0, b"right") == (204, 5)
    assert await bytes_of(here, url) == b"right"


async def test_an_upload_whose_last_answer_was_never_given_is_finished_by_whoever_asks(here):
    url = await create(here, 5)
    asset_id = url.rpartition("/")[2]
    finishing = here.gateway.rest._tus._parts.finisher.finish
    object.__setattr__(here.gateway.rest._tus._parts, "finisher", Dying())
    assert (await patch(here, url, 0, b"12345"))[0] == 500
    object.__setattr__(here.gateway.rest._tus._parts, "finisher", type("F", (), {"finish": staticmethod(finishing)}))
    assert await offset_of(here, url) == 5
    assert (await here.assets.GetAsset(GetAssetRequest(asset_id=asset_id))).state == ASSET_STATE_READY


async def test_a_last_part_that_the_store_refuses_is_sent_again_and_finished(here, monkeypatch):
    url = await create(here, 10)
    refused = AsyncMock(side_effect=Unavailable("not now", code=ErrorCode.STORE_UNAVAILABLE))
    monkeypatch.setattr(here.store, "put_part", refused)
    assert await patch(here, url, 0, b"1234567890") == (503, "STORE_UNAVAILABLE")
    monkeypatch.undo()
    assert await offset_of(here, url) == 9
    assert here.store._uploads == {}  # one that holds nothing is begun anew: the store may never take its parts
    assert await patch(here, url, 9, b"0") == (204, 10)
    assert await bytes_of(here, url) == b"1234567890"


class Dying:
    async def finish(self, workspace_id, asset_id):
        raise RuntimeError("the gateway dies here")


async def test_a_page_may_send_and_read_what_the_protocol_needs(with_settings):
    async with with_settings(http=HttpSettings(origins=("https://app.example",))) as here:
        asked = {
            "Origin": "https://app.example",
            "Access-Control-Request-Method": "PATCH",
            "Access-Control-Request-Headers": "tus-resumable, upload-offset, content-type, upload-checksum",
        }
        async with here.http.options(here.url("/v1/tus/ast_x"), headers=asked) as answer:
            allowed = answer.headers["Access-Control-Allow-Headers"].lower().split(", ")
            assert {"tus-resumable", "upload-offset", "upload-length", "upload-metadata"} <= set(allowed)
        url = await create(here, 5, Origin="https://app.example")
        async with here.http.head(url, headers={**TUS, "Origin": "https://app.example"}) as answer:
            exposed = answer.headers["Access-Control-Expose-Headers"].lower().split(", ")
            assert {"location", "upload-offset", "upload-length", "tus-resumable"} <= set(exposed)


async def stream(here, asset_id: str, offset: int, data: bytes):
    async def requests():
        yield UploadAssetRequest(start=UploadStart(asset_id=asset_id, offset=offset))
        for start in range(0, len(data), 512 << 10):
            yield UploadAssetRequest(data=data[start : start + (512 << 10)])

    return await here.assets.UploadAsset(requests())


async def test_a_grpc_stream_goes_on_where_the_last_one_ended(here):
    asset, _ = await here.reserve(CLIP, sha256=hashlib.sha256(CLIP).hexdigest())
    first = await stream(here, asset.asset_id, 0, CLIP[: 9 * MB])
    assert first.offset == 9 * MB
    told = await here.assets.GetUpload(GetUploadRequest(asset_id=asset.asset_id))
    assert (told.offset, told.size_bytes, [part.number for part in told.parts]) == (9 * MB, len(CLIP), [1])
    last = await stream(here, asset.asset_id, told.offset, CLIP[told.offset :])
    assert (last.offset, last.asset.state) == (len(CLIP), ASSET_STATE_READY)
    stored = await here.asset_store.get("default", asset.asset_id)
    assert b"".join([piece async for piece in here.store.read(stored.object_key)]) == CLIP


async def test_a_grpc_stream_for_another_offset_is_aborted(here):
    asset, _ = await here.reserve(CLIP)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stream(here, asset.asset_id, 7, b"x")
    assert caught.value.code() == grpc.StatusCode.ABORTED


@pytest.mark.parametrize("starts", [False, True])
async def test_a_grpc_stream_that_sends_nothing_gives_up_its_place(with_settings, starts):
    async with with_settings(uploads=UploadSettings(kinds=frozenset(), stall=0.2)) as here:
        asset, _ = await here.reserve(b"bytes")
        call = here.assets.UploadAsset()
        if starts:
            await call.write(UploadAssetRequest(start=UploadStart(asset_id=asset.asset_id)))
        async with asyncio.timeout(5):
            assert await call.code() == grpc.StatusCode.DEADLINE_EXCEEDED


async def test_uploads_are_counted_by_workspace(with_settings):
    settings = UploadSettings(kinds=frozenset(), per_hour=2)
    async with with_settings(uploads=settings) as here:
        for _ in range(2):
            await here.reserve()
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await here.reserve()
        assert caught.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
