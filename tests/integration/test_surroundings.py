"""What the gateway and the bus do when their surroundings fail: a full disk, servers that refuse them."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import secrets
import signal
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import grpc
import pytest
from gateway_program import BOUND, Program
from servers import NatsServer, S3Server, free_port, start_nats
from small_disk import SmallDisk, small_disk

from framewire.bus.nats import NatsBus, NatsSettings
from framewire.errors import Unavailable
from framewire.stack.probes import NatsProbe
from framewire.v1.asset_pb2 import ASSET_STATE_READY, Asset, CompleteUploadRequest, CreateUploadRequest
from framewire.v1.asset_pb2_grpc import AssetServiceStub
from framewire.v1.job_pb2 import CreateJobRequest, Job, ListJobsRequest
from framewire.v1.job_pb2_grpc import JobServiceStub
from framewire.v1.step_pb2 import LANE_GPU, Enhance, Step

AUTHORIZATION = "authorization {{ user: framewire, password: {password} }}\n"
CLIP = b"\0\0\0\x18ftypisom" + secrets.token_bytes(64 << 10)  # no probe looks inside: what begins like an MP4 will do


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    """A disk of 24 MB."""
    with small_disk(tmp_path, megabytes=24) as disk:
        yield disk


def settings(nats: NatsServer, s3: S3Server, database: Path) -> dict[str, str]:
    return {
        "FRAMEWIRE_NATS_URL": nats.url,
        "FRAMEWIRE_S3_ENDPOINT": s3.endpoint,
        "FRAMEWIRE_S3_BUCKET": f"surroundings-{secrets.token_hex(6)}",
        "FRAMEWIRE_S3_ACCESS_KEY": s3.access_key,
        "FRAMEWIRE_S3_SECRET_KEY": s3.secret_key,
        "FRAMEWIRE_DATABASE_URL": f"sqlite+aiosqlite:///{database}",
        "FRAMEWIRE_GRPC_ADDRESS": "127.0.0.1:0",
        "FRAMEWIRE_REST_ADDRESS": "127.0.0.1:0",
    }


@contextlib.asynccontextmanager
async def serving(program: Program) -> AsyncIterator[grpc.aio.Channel]:
    try:
        await program.start()
        async with grpc.aio.insecure_channel(program.grpc) as channel:
            yield channel
    finally:
        await program.end(signal.SIGTERM)


async def upload(channel: grpc.aio.Channel) -> Asset:
    assets = AssetServiceStub(channel)
    request = CreateUploadRequest(filename="clip.mp4", size_bytes=len(CLIP), sha256=hashlib.sha256(CLIP).hexdigest())
    created = await assets.CreateUpload(request, timeout=BOUND)
    if created.asset.state == ASSET_STATE_READY:
        return created.asset
    async with (
        aiohttp.ClientSession() as http,
        http.request(
            created.upload.method, created.upload.url, data=CLIP, headers=dict(created.upload.headers)
        ) as answer,
    ):
        assert answer.status == 200, await answer.text()
    return await assets.CompleteUpload(CompleteUploadRequest(asset_id=created.asset.asset_id), timeout=BOUND)


async def create(channel: grpc.aio.Channel, asset: Asset, key: str) -> Job:
    request = CreateJobRequest(input_asset_ids=[asset.asset_id], steps=[Step(enhance=Enhance())], idempotency_key=key)
    return await JobServiceStub(channel).CreateJob(request, timeout=BOUND)


async def until_not_ready(probe: NatsProbe) -> None:
    """Another program: nothing signals it here."""
    for _ in range(int(BOUND / 0.1)):
        if not await probe.ready():
            return
        await asyncio.sleep(0.1)
    pytest.fail("NATS still calls itself well")


async def test_a_job_accepted_while_the_disk_of_nats_is_full_is_queued_once_there_is_room_again(
    disk: SmallDisk, s3_server: S3Server, tmp_path: Path
) -> None:
    monitor = free_port()
    with start_nats(disk.folder, options=("-m", str(monitor)), within=disk.inside) as nats:
        program = Program(settings(nats, s3_server, tmp_path / "framewire.db"), tmp_path / "gateway.log")
        async with serving(program) as channel:
            asset = await upload(channel)
            disk.fill()
            job = await create(channel, asset, "one")
            await until_not_ready(NatsProbe(port=monitor))  # the supervisor of a local stack looks at this
            disk.free()
            await asyncio.to_thread(nats.kill)
            await asyncio.to_thread(nats.start)
            bus = await NatsBus.connect(NatsSettings(url=nats.url))
            delivery = await bus.jobs.pull([LANE_GPU], wait=BOUND)
            assert delivery is not None
            assert delivery.order.job_id == job.job_id
            await delivery.ack()
            assert await bus.jobs.waiting(LANE_GPU) == 0
            await bus.close()


async def test_a_full_disk_under_the_database_refuses_jobs_by_a_typed_error_and_keeps_those_it_had(
    disk: SmallDisk, nats_server: NatsServer, s3_server: S3Server, tmp_path: Path
) -> None:
    program = Program(
        settings(nats_server, s3_server, disk.folder / "framewire.db"), tmp_path / "gateway.log", disk.inside
    )
    async with serving(program) as channel:
        asset = await upload(channel)
        kept = await create(channel, asset, "before")
        disk.fill()
        refused = await fill_up(channel, asset)
        assert refused.code() == grpc.StatusCode.UNAVAILABLE
        assert "DATABASE_UNAVAILABLE" in str(refused.trailing_metadata())
        disk.free()
        again = await create(channel, asset, "before")
        new = await create(channel, asset, "after")
        listed = await JobServiceStub(channel).ListJobs(ListJobsRequest(page_size=200), timeout=BOUND)
        assert again.job_id == kept.job_id
        assert {kept.job_id, new.job_id} <= {job.job_id for job in listed.jobs}


async def fill_up(channel: grpc.aio.Channel, asset: Asset) -> grpc.aio.AioRpcError:
    """The first refusal: pages that were free already still take a few jobs."""
    for number in range(500):
        try:
            await create(channel, asset, f"full-{number}")
        except grpc.aio.AioRpcError as error:
            return error
    pytest.fail("a full disk took 500 jobs")


@dataclass(frozen=True)
class Guarded:
    """A NATS whose only user's password can be changed while it runs."""

    server: NatsServer
    configuration: Path

    @property
    def url(self) -> str:
        return self.server.url.replace("//", "//framewire:first@")

    def set_password(self, password: str) -> None:
        self.configuration.write_text(AUTHORIZATION.format(password=password))
        self.server.reload()


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[Guarded]:
    folder, configuration = tmp_path / "nats", tmp_path / "nats.conf"
    folder.mkdir()
    configuration.write_text(AUTHORIZATION.format(password="first"))
    with start_nats(folder, options=("-c", str(configuration))) as server:
        yield Guarded(server, configuration)


async def test_a_bus_that_is_refused_goes_on_asking_and_works_once_it_is_let_in_again(guarded: Guarded) -> None:
    bus = await NatsBus.connect(NatsSettings(url=guarded.url))
    guarded.set_password("second")
    async with asyncio.timeout(BOUND):
        await until_refused(bus)
        back = bus._connection.reconnected
        guarded.set_password("first")
        await back.wait()
    await bus.ping()
    assert not bus.lost.is_set()
    await bus.close()


async def until_refused(bus: NatsBus) -> None:
    with contextlib.suppress(Unavailable):
        while True:
            await bus.ping()


class Interpreter:
    """A way to NATS on which something can be said that the server did not say."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._clients: set[asyncio.StreamWriter] = set()
        self._ways: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Interpreter:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.url = f"nats://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for way in self._ways:
            way.cancel()
        await asyncio.gather(*self._ways, return_exceptions=True)

    def say(self, line: bytes) -> None:
        for client in self._clients:
            client.write(line)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream, down = await asyncio.open_connection("127.0.0.1", self._port)
        self._clients.add(writer)
        for source, target in ((reader, down), (upstream, writer)):
            self._ways.add(asyncio.create_task(self._pass(source, target)))

    async def _pass(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        while data := await source.read(1 << 16):
            target.write(data)
        target.close()


GIVEN_UP = b"-ERR 'Account Authentication Expired'\r\n"
"""After this the client library closes the connection and looks for no other."""


async def test_a_bus_whose_library_has_given_up_says_that_it_is_lost(nats_server: NatsServer) -> None:
    async with Interpreter(nats_server.port) as way, asyncio.timeout(BOUND):
        bus = await NatsBus.connect(NatsSettings(url=way.url))
        way.say(GIVEN_UP)
        await bus.lost.wait()
        await bus.close()


async def test_a_bus_that_is_closed_on_purpose_is_not_lost(nats_server: NatsServer) -> None:
    bus = await NatsBus.connect(NatsSettings(url=nats_server.url))
    await bus.close()
    assert not bus.lost.is_set()


async def test_a_gateway_whose_bus_is_lost_ends_so_that_it_can_be_started_anew(
    nats_server: NatsServer, s3_server: S3Server, tmp_path: Path
) -> None:
    async with Interpreter(nats_server.port) as way, asyncio.timeout(BOUND):
        env = settings(nats_server, s3_server, tmp_path / "framewire.db") | {"FRAMEWIRE_NATS_URL": way.url}
        program = Program(env, tmp_path / "gateway.log")
        await program.start()
        way.say(GIVEN_UP)
        assert program.process is not None
        assert await program.process.wait() == 1
    assert "NATS refuses this gateway" in (tmp_path / "gateway.log").read_text()
