"""Uploads on a real gateway and a real S3 endpoint, with gateways and clients that are killed."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import grpc
import pytest
from gateway_program import BOUND, Program
from servers import NatsServer, S3Server

from framewire.client import Client, parts
from framewire.client.transfer import Advance
from framewire.errors import ErrorCode, FramewireError, Unavailable
from framewire.storage.s3 import S3ObjectStore
from framewire.v1.asset_pb2 import (
    ASSET_STATE_READY,
    CompleteUploadRequest,
    CreateDownloadUrlRequest,
    CreateUploadRequest,
    GetAssetRequest,
    SignedUrl,
    SignUploadPartsRequest,
)
from framewire.v1.asset_pb2_grpc import AssetServiceStub

MB = 1 << 20
CLIP = b"\0\0\0\x18ftypisom" + secrets.token_bytes(20 * MB + 11)  # what begins like an MP4 will do: there is no probe
HASH = hashlib.sha256(CLIP).hexdigest()
TUS = {"Tus-Resumable": "1.0.0"}
BYTES = {**TUS, "Content-Type": "application/offset+octet-stream"}


@dataclass
class Site:
    """A gateway that may be killed, and the store behind it."""

    program: Program
    store: S3ObjectStore
    http: aiohttp.ClientSession
    env: dict[str, str]

    def url(self, path: str) -> str:
        return f"http://{self.program.rest}{path}"

    async def create(self) -> str:
        """The path of a new upload."""
        headers = {**TUS, "Upload-Length": str(len(CLIP))}
        async with self.http.post(self.url("/v1/tus"), headers=headers) as answer:
            assert answer.status == 201, await answer.text()
            return answer.headers["Location"]

    async def offset(self, path: str) -> int:
        async with self.http.head(self.url(path), headers=TUS) as answer:
            assert answer.status == 200
            return int(answer.headers["Upload-Offset"])

    async def go_on(self, path: str) -> None:
        """Send what is missing. Whoever died may still hold the upload for as long as its lease."""
        offset = await self.offset(path)

        async def sent() -> bool:
            status = await self.patch(path, offset)
            assert status in {204, 423}
            return status == 204

        await until(sent)

    async def patch(self, path: str, offset: int, size: int = len(CLIP)) -> int:
        headers = {**BYTES, "Upload-Offset": str(offset)}
        async with self.http.patch(self.url(path), headers=headers, data=CLIP[offset : offset + size]) as answer:
            return answer.status

    async def received(self, path: str) -> str:
        """The hash of what a download gives."""
        async with grpc.aio.insecure_channel(self.program.grpc) as channel:
            assets, asset_id = AssetServiceStub(channel), path.rpartition("/")[2]
            assert (await assets.GetAsset(GetAssetRequest(asset_id=asset_id))).state == ASSET_STATE_READY
            signed = (await assets.CreateDownloadUrl(CreateDownloadUrlRequest(asset_id=asset_id))).download
        async with self.http.get(signed.url) as answer:
            return hashlib.sha256(await answer.read()).hexdigest()


async def until(look: Callable[[], Awaitable[bool]]) -> None:
    """Look until it is so: another process tells nobody, and the lease of a dead one ends unseen."""
    async with asyncio.timeout(BOUND):
        while True:
            if await look():
                return
            await asyncio.sleep(0.1)


@pytest.fixture
async def site(nats_server: NatsServer, s3_server: S3Server, tmp_path: Path) -> AsyncIterator[Site]:
    settings = s3_server.settings(f"uploads-{secrets.token_hex(6)}")
    env = {
        "FRAMEWIRE_NATS_URL": nats_server.url,
        "FRAMEWIRE_S3_ENDPOINT": settings.endpoint,
        "FRAMEWIRE_S3_BUCKET": settings.bucket,
        "FRAMEWIRE_S3_ACCESS_KEY": settings.access_key,
        "FRAMEWIRE_S3_SECRET_KEY": settings.secret_key,
        "FRAMEWIRE_DATABASE_URL": f"sqlite+aiosqlite:///{tmp_path / 'framewire.db'}",
        "FRAMEWIRE_GRPC_ADDRESS": "127.0.0.1:0",
        "FRAMEWIRE_REST_ADDRESS": "127.0.0.1:0",
        "FRAMEWIRE_UPLOAD_PARTS_FROM": "8M",
    }
    program, store = Program(env, tmp_path / "gateway.log"), S3ObjectStore(settings)
    await store.ensure_bucket()
    await program.start()
    try:
        async with aiohttp.ClientSession() as http:
            yield Site(program, store, http, env)
    finally:
        await program.end(signal.SIGTERM)
        await store.close()


async def parts_in(site: Site) -> int:
    """Parts of uploads under way that the store has."""
    return sum(
        [len(await site.store.parts(each.key, each.upload_id)) async for each in site.store.unfinished_parts("")]
    )


async def test_a_gateway_killed_in_the_middle_of_a_request_loses_no_byte_it_has_told_of(site: Site) -> None:
    path = await site.create()
    async with site.http.patch(site.url(path), headers={**BYTES, "Upload-Offset": "0"}, data=CLIP[: 3 * MB]) as answer:
        assert answer.headers["Upload-Offset"] == str(3 * MB)
    killed = asyncio.Event()

    async def body() -> AsyncIterator[bytes]:
        yield CLIP[3 * MB : 17 * MB]
        await killed.wait()

    headers = {**BYTES, "Upload-Offset": str(3 * MB)}
    sending = asyncio.ensure_future(site.http.patch(site.url(path), headers=headers, data=body()))

    async def two_parts() -> bool:
        return await parts_in(site) >= 2

    await until(two_parts)
    await site.program.end(signal.SIGKILL)
    killed.set()
    with pytest.raises(aiohttp.ClientError):
        await sending
    await site.program.start()
    assert await site.offset(path) >= 16 * MB
    await site.go_on(path)
    assert await site.received(path) == HASH


async def test_two_gateways_take_turns_with_one_upload_and_one_is_killed_in_the_middle_of_a_piece(
    site: Site, tmp_path: Path
) -> None:
    other = Site(Program(site.env, tmp_path / "other.log"), site.store, site.http, site.env)
    await other.program.start()
    try:
        path, offset = await site.create(), 0
        for turn, size in enumerate((3 * MB, 6 * MB, 1, 2 * MB)):
            gateway = (site, other)[turn % 2]
            assert await gateway.offset(path) == offset
            assert await gateway.patch(path, offset, size) == 204
            offset += size
        killed = asyncio.Event()

        async def body() -> AsyncIterator[bytes]:
            yield CLIP[offset : offset + 6 * MB]
            await killed.wait()

        headers = {**BYTES, "Upload-Offset": str(offset)}
        sending = asyncio.ensure_future(site.http.patch(site.url(path), headers=headers, data=body()))

        async def two_parts() -> bool:
            return await parts_in(site) >= 2

        await until(two_parts)
        assert await other.patch(path, await other.offset(path), 1) == 423  # the first one has it
        await site.program.end(signal.SIGKILL)
        killed.set()
        with pytest.raises(aiohttp.ClientError):
            await sending
        assert await other.offset(path) >= offset
        await other.go_on(path)
        assert await other.received(path) == HASH
    finally:
        await other.program.end(signal.SIGTERM)


_CLIENT = """
import http.client, sys
host, path, file = sys.argv[1:]
data = open(file, "rb").read()
there = http.client.HTTPConnection(host)
there.putrequest("PATCH", path)
for name, value in {"Tus-Resumable": "1.0.0", "Content-Type": "application/offset+octet-stream",
                    "Upload-Offset": "0", "Content-Length": str(len(data))}.items():
    there.putheader(name, value)
there.endheaders()
there.send(data[: 13 << 20])
print("sent", flush=True)
sys.stdin.read()
"""


async def test_a_client_killed_in_the_middle_of_a_request_goes_on_where_it_was(site: Site, tmp_path: Path) -> None:
    path = await site.create()
    (tmp_path / "clip").write_bytes(CLIP)
    argv = [sys.executable, "-c", _CLIENT, site.program.rest, path, str(tmp_path / "clip")]
    pipe = asyncio.subprocess.PIPE
    client = await asyncio.create_subprocess_exec(*argv, stdin=pipe, stdout=pipe)
    assert client.stdout is not None
    async with asyncio.timeout(BOUND):
        assert await client.stdout.readline() == b"sent\n"
    client.kill()
    await client.wait()

    async def kept() -> bool:  # what was received is stored once the gateway sees that the client is gone
        return 12 * MB <= await site.offset(path) <= 13 * MB

    await until(kept)
    await site.go_on(path)
    assert await site.received(path) == HASH


async def test_an_upload_in_parts_goes_on_with_those_that_are_missing(site: Site) -> None:
    async with grpc.aio.insecure_channel(site.program.grpc) as channel:
        assets = AssetServiceStub(channel)
        request = CreateUploadRequest(filename="a.mp4", size_bytes=len(CLIP), sha256=HASH, multipart=True)
        created = await assets.CreateUpload(request, timeout=BOUND)
        asset_id, size = created.asset.asset_id, created.multipart.part_size
        sign = SignUploadPartsRequest(asset_id=asset_id)
        first = await assets.SignUploadParts(sign, timeout=BOUND)
        assert [part.number for part in first.parts] == [1, 2, 3]
        for part in (first.parts[2], first.parts[0]):
            await send(site, part, size)
        with pytest.raises(grpc.aio.AioRpcError, match="2"):
            await assets.CompleteUpload(CompleteUploadRequest(asset_id=asset_id), timeout=BOUND)
        rest = await assets.SignUploadParts(sign, timeout=BOUND)
        assert [part.number for part in rest.upload.parts] == [1, 3]
        (missing,) = rest.parts
        await send(site, missing, size)
        asset = await assets.CompleteUpload(CompleteUploadRequest(asset_id=asset_id), timeout=BOUND)
        assert (asset.state, asset.sha256) == (ASSET_STATE_READY, HASH)
        again = await assets.CreateUpload(request, timeout=BOUND)
        assert (again.asset.state, again.upload.url) == (ASSET_STATE_READY, "")
    assert await site.received(again.asset.asset_id) == HASH
    assert await parts_in(site) == 0


async def send(site: Site, part: object, size: int) -> None:
    start = (part.number - 1) * size  # type: ignore[attr-defined]  # a SignedPart
    signed = part.upload  # type: ignore[attr-defined]  # as above
    async with site.http.request(signed.method, signed.url, data=CLIP[start : start + size]) as answer:
        assert answer.status == 200, await answer.text()


async def test_the_client_sends_a_large_file_in_parts_and_after_a_broken_connection_only_what_is_missing(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "clip.mp4").write_bytes(CLIP)
    sent: list[int] = []
    real = parts.put_range

    async def breaks_once(signed: SignedUrl, path: Path, start: int, size: int, advance: Advance) -> None:
        sent.append(start)
        if start == 8 * MB and sent.count(start) == 1:
            raise Unavailable("the connection broke", code=ErrorCode.STORE_UNAVAILABLE)
        await real(signed, path, start, size, advance)

    monkeypatch.setattr(parts, "put_range", breaks_once)
    monkeypatch.setattr(parts, "AT_ONCE", 1)
    shown: list[int] = []
    async with Client(site.program.grpc) as client:
        asset = await client.upload(tmp_path / "clip.mp4", advance=lambda done, total: shown.append(done))
        again = await client.upload(tmp_path / "clip.mp4", filename="again.mp4")
    assert sent == [0, 8 * MB, 8 * MB, 16 * MB]
    assert (asset.sha256, shown[-1]) == (HASH, len(CLIP))
    assert (again.filename, again.sha256) == ("again.mp4", HASH)
    assert again.asset_id != asset.asset_id


async def test_what_is_not_taken_is_refused_and_nothing_of_it_is_left(site: Site, tmp_path: Path) -> None:
    (tmp_path / "page.mp4").write_bytes(b"<html>" * 1000)
    async with Client(site.program.grpc) as client:
        with pytest.raises(FramewireError) as caught:
            await client.upload(tmp_path / "page.mp4")
    assert caught.value.code == ErrorCode.UPLOAD_TYPE_UNSUPPORTED
    assert [info.key async for info in site.store.list("default/")] == []
