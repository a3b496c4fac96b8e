"""Database and stream, each restored from a backup while the other has moved on: on real servers, both agree again."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from servers import NatsServer

from framewire.bus.nats import NatsBus, NatsSettings
from framewire.client import Client
from framewire.db.assets import AssetStore
from framewire.db.database import Database
from framewire.db.jobs import JobStore
from framewire.jobs.ids import new_asset_id, new_job_id
from framewire.jobs.states import state_name
from framewire.testing.storage import MemoryObjectStore
from framewire.v1.asset_pb2 import ASSET_STATE_READY, Asset
from framewire.v1.job_pb2 import JOB_STATE_RUNNING, JOB_STATE_SUCCEEDED, Event, JobState, StatusChange
from framewire.v1.step_pb2 import LANE_GPU
from framewire.work.v1.work_pb2 import InputFile, JobOrder
from gateway import reconciler
from gateway.addresses import Address
from gateway.app import Gateway

WITHIN = 20.0
W = "default"


class Parts:
    """A gateway on a database file and a NATS, and a worker's hands on the same NATS."""

    def __init__(self, database: Database, bus: NatsBus, gateway: Gateway) -> None:
        self.jobs, self.assets = JobStore(database, _wide), AssetStore(database, _wide)
        self.bus = bus
        self.client = Client(f"127.0.0.1:{gateway.rpc.port}")

    async def create(self) -> str:
        """A job that is queued: its order can be pulled."""
        asset_id = new_asset_id()
        await self.assets.create_upload(
            W, asset_id=asset_id, filename="x.mp4", size_bytes=1, declared_sha256="", object_key=f"k/{asset_id}"
        )
        await self.assets.complete_upload(W, asset_id, sha256="ab")
        order = JobOrder(
            job_id=new_job_id(),
            workspace_id=W,
            inputs=[InputFile(asset_id=asset_id)],
            lane=LANE_GPU,
            priority=1,
            max_attempts=2,
            output_asset_id=new_asset_id(),
        )
        return (await self.jobs.create_job(order)).job_id

    async def work(self, *, finish: bool = True) -> str:
        """Pull a job as a worker does and run it, to its end or half-way."""
        delivery = await self.bus.jobs.pull([LANE_GPU], wait=WITHIN)
        assert delivery is not None
        order = delivery.order
        await self.say(order, JOB_STATE_RUNNING)
        if finish:
            await self.say(order, JOB_STATE_SUCCEEDED)
            await delivery.ack()
        return order.job_id

    async def say(self, order: JobOrder, state: JobState.ValueType) -> None:
        last = await self.bus.events.last(order.job_id)
        change = StatusChange(state=state, worker="w1")
        if state == JOB_STATE_SUCCEEDED:
            change.outputs.append(Asset(asset_id=order.output_asset_id, filename="y.mp4", state=ASSET_STATE_READY))
        event = Event(job_id=order.job_id, workspace_id=W, attempt=1, status=change)
        event.time.GetCurrentTime()
        await self.bus.events.append(event, after=last.number if last else 0)

    async def state(self, job_id: str) -> str:
        return state_name((await self.jobs.get(W, job_id)).state)

    async def becomes(self, job_id: str, state: str) -> None:
        """Return when the row says so."""
        await _seen(lambda: self.state(job_id), state)

    async def is_logged(self, job_id: str, state: str) -> None:
        """Return when the log's newest event says so."""
        await _seen(lambda: self.logged(job_id), state)

    async def watched(self, job_id: str) -> list[str]:
        """The states a client that comes now is shown."""
        async with asyncio.timeout(WITHIN):
            return [
                state_name(event.status.state)
                async for event in self.client.watch(job_id)
                if event.WhichOneof("kind") == "status"
            ]

    async def logged(self, job_id: str) -> str:
        last = await self.bus.events.last(job_id)
        return "" if last is None else state_name(last.status.state)


async def _seen(look: Callable[[], Awaitable[str]], what: str) -> None:
    """Look until it is so: the gateway does it by itself and signals nothing here."""
    async with asyncio.timeout(WITHIN):
        while True:
            if await look() == what:
                return
            await asyncio.sleep(0.05)


def _wide(lane: str) -> int:
    return 1000


@contextlib.asynccontextmanager
async def parts(file: Path, nats: NatsServer) -> AsyncIterator[Parts]:
    """A gateway that runs inside the block."""
    bus = await NatsBus.connect(NatsSettings(url=nats.url))
    database = Database.open(f"sqlite+aiosqlite:///{file}")
    anywhere = Address("127.0.0.1", 0)
    gateway = Gateway(database=database, bus=bus, store=MemoryObjectStore(), grpc=anywhere, rest=anywhere)
    try:
        await gateway.start()
        found = Parts(database, bus, gateway)
        yield found
        await found.client.close()
    finally:
        await gateway.stop()
        await database.close()
        await bus.close()


@pytest.fixture(autouse=True)
def _look_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reconciler, "EVERY", 0.5)


def _copy_database(source: Path, target: Path) -> None:
    for suffix in ("", "-wal", "-shm"):
        Path(f"{target}{suffix}").unlink(missing_ok=True)
        if Path(f"{source}{suffix}").exists():
            shutil.copy(f"{source}{suffix}", f"{target}{suffix}")


async def test_a_database_that_comes_back_from_behind_learns_what_the_stream_knows(
    own_nats_server: NatsServer, tmp_path: Path
) -> None:
    file, backup = tmp_path / "framewire.db", tmp_path / "backup.db"
    async with parts(file, own_nats_server) as here:
        running, queued = await here.create(), await here.create()
        assert await here.work(finish=False) == running
        await here.becomes(running, "RUNNING")
    _copy_database(file, backup)
    async with parts(file, own_nats_server) as here:
        assert await here.work() == queued
        order = JobOrder(job_id=running, workspace_id=W, output_asset_id=new_asset_id())
        await here.say(order, JOB_STATE_SUCCEEDED)
        await here.becomes(queued, "SUCCEEDED")
        await here.becomes(running, "SUCCEEDED")
    _copy_database(backup, file)
    async with parts(file, own_nats_server) as here:
        assert (await here.state(running), await here.state(queued)) != ("SUCCEEDED", "SUCCEEDED")
        await here.becomes(running, "SUCCEEDED")
        await here.becomes(queued, "SUCCEEDED")
        assert len((await here.jobs.get(W, queued)).output_asset_ids) == 1
        assert await here.watched(queued) == ["QUEUED", "RUNNING", "SUCCEEDED"]


async def test_jobs_that_a_restored_database_had_only_in_its_outbox_are_said_once(
    own_nats_server: NatsServer, tmp_path: Path
) -> None:
    file, backup = tmp_path / "framewire.db", tmp_path / "backup.db"
    async with parts(file, own_nats_server):
        pass  # migrated
    database = Database.open(f"sqlite+aiosqlite:///{file}")
    hands = Parts.__new__(Parts)
    hands.jobs, hands.assets = JobStore(database, _wide), AssetStore(database, _wide)
    job = await hands.create()  # no gateway runs: what it says lies in the outbox
    await database.close()
    _copy_database(file, backup)
    async with parts(file, own_nats_server) as here:
        assert await here.work() == job
        await here.becomes(job, "SUCCEEDED")
    _copy_database(backup, file)
    async with parts(file, own_nats_server) as here:
        await here.becomes(job, "SUCCEEDED")
        assert await here.watched(job) == ["QUEUED", "RUNNING", "SUCCEEDED"]
        assert await here.bus.jobs.pull([LANE_GPU], wait=0) is None


async def test_a_stream_that_comes_back_from_behind_is_told_what_the_database_knows(
    own_nats_server: NatsServer, tmp_path: Path
) -> None:
    file, data, backup = tmp_path / "framewire.db", own_nats_server.folder, tmp_path / "nats-backup"
    async with parts(file, own_nats_server) as here:
        known_ended = await here.create()
        known_running = await here.create()
        await here.becomes(known_running, "QUEUED")
        await here.is_logged(known_running, "QUEUED")
    await asyncio.to_thread(own_nats_server.kill)
    shutil.copytree(data / "jetstream", backup)
    await asyncio.to_thread(own_nats_server.start)
    async with parts(file, own_nats_server) as here:
        assert await here.work() == known_ended
        assert await here.work(finish=False) == known_running
        forgotten_ended, forgotten = await here.create(), await here.create()
        await here.becomes(known_ended, "SUCCEEDED")
        await here.becomes(known_running, "RUNNING")
        assert await here.work() == forgotten_ended
        await here.becomes(forgotten_ended, "SUCCEEDED")
    await asyncio.to_thread(own_nats_server.kill)
    shutil.rmtree(data / "jetstream")
    shutil.copytree(backup, data / "jetstream")
    await asyncio.to_thread(own_nats_server.start)
    async with parts(file, own_nats_server) as here:
        await here.is_logged(known_ended, "SUCCEEDED")
        # what had ended stays as it ended, with one result, and nobody is told otherwise
        for job in (known_ended, forgotten_ended):
            assert await here.state(job) == "SUCCEEDED"
            assert len((await here.jobs.get(W, job)).output_asset_ids) == 1
            assert (await here.watched(job))[-1] == "SUCCEEDED"
        # what had not ended is queued again, and ends once
        await here.is_logged(forgotten, "QUEUED")
        ran = set()
        while {known_running, forgotten} - ran:
            delivery = await here.bus.jobs.pull([LANE_GPU], wait=WITHIN)
            assert delivery is not None
            if await here.logged(delivery.order.job_id) != "SUCCEEDED":
                await here.say(delivery.order, JOB_STATE_RUNNING)
                await here.say(delivery.order, JOB_STATE_SUCCEEDED)
            ran.add(delivery.order.job_id)
            await delivery.ack()
        for job in (known_running, forgotten):
            await here.becomes(job, "SUCCEEDED")
            assert len((await here.jobs.get(W, job)).output_asset_ids) == 1
            assert (await here.watched(job))[-1] == "SUCCEEDED"
