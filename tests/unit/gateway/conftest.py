"""A gateway on its real servers, with everything behind it in memory."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import grpc
import pytest
import sqlalchemy as sa

from framewire.db.assets import AssetStore
from framewire.db.database import Database
from framewire.db.jobs import JobStore
from framewire.db.outbox import Outbox
from framewire.storage.interface import SignedRequest
from framewire.testing.bus import MemoryBus
from framewire.testing.database import memory_database
from framewire.testing.storage import MemoryObjectStore
from framewire.v1.asset_pb2 import ASSET_STATE_READY, Asset, CompleteUploadRequest, CreateUploadRequest, SignedUrl
from framewire.v1.asset_pb2_grpc import AssetServiceStub
from framewire.v1.job_pb2 import CreateJobRequest, Event, Job, JobState, StatusChange
from framewire.v1.job_pb2_grpc import JobServiceStub
from framewire.v1.operations_pb2_grpc import OperationsServiceStub
from framewire.v1.step_pb2 import Enhance, ModelInfo, Step
from framewire.v1.step_pb2_grpc import StepServiceStub
from framewire.work.v1.work_pb2 import WorkerStatus
from gateway.addresses import Address
from gateway.app import Gateway
from gateway.uploads import UploadSettings

ANYWHERE = Address("127.0.0.1", 0)


@dataclass
class Installation:
    """A running gateway, its clients, and the fakes behind it."""

    gateway: Gateway
    database: Database
    bus: MemoryBus
    store: MemoryObjectStore
    http: aiohttp.ClientSession
    channel: grpc.aio.Channel
    assets: AssetServiceStub = field(init=False)
    jobs: JobServiceStub = field(init=False)
    steps: StepServiceStub = field(init=False)
    operations: OperationsServiceStub = field(init=False)

    def __post_init__(self) -> None:
        self.assets = AssetServiceStub(self.channel)
        self.jobs = JobServiceStub(self.channel)
        self.steps = StepServiceStub(self.channel)
        self.operations = OperationsServiceStub(self.channel)
        # a reader that comes after this waits for the one connection, and so sees what was committed
        self.committing = asyncio.Event()
        sa.event.listen(self.database.engine.sync_engine, "commit", lambda _: self.committing.set())
        self.job_store = JobStore(self.database)
        self.asset_store = AssetStore(self.database)
        self.outbox = Outbox(self.database)

    async def reserve(self, body: bytes = b"bytes", **request: object) -> tuple[Asset, SignedUrl]:
        """An asset that waits for its bytes."""
        answer = await self.assets.CreateUpload(
            CreateUploadRequest(**{"filename": "cars_432p.mp4", "size_bytes": len(body), **request})
        )
        return answer.asset, answer.upload

    async def send(self, upload: SignedUrl, body: bytes) -> None:
        """Send bytes to a signed URL."""
        await self.store.request(
            SignedRequest(method=upload.method, url=upload.url, expires=upload.expire_time.ToDatetime()), body
        )

    async def upload(self, body: bytes = b"bytes") -> Asset:
        """A READY asset."""
        asset, upload = await self.reserve(body, sha256=hashlib.sha256(body).hexdigest())
        if asset.state == ASSET_STATE_READY:  # an earlier upload had the same bytes
            return asset
        await self.send(upload, body)
        return await self.assets.CompleteUpload(CompleteUploadRequest(asset_id=asset.asset_id))

    async def submit(self, asset_id: str, **request: object) -> Job:
        """A job that enhances an asset."""
        return await self.jobs.CreateJob(
            CreateJobRequest(input_asset_ids=[asset_id], steps=[Step(enhance=Enhance(scale=2))], **request)
        )

    async def say(self, job_id: str, state: JobState.ValueType, **status: object) -> int:
        """Append a status as a worker would."""
        last = await self.bus.events.last(job_id)
        change = StatusChange(state=state, worker="w1", **status)
        event = Event(job_id=job_id, workspace_id="default", attempt=1, status=change)
        event.time.GetCurrentTime()
        return await self.bus.events.append(event, after=last.number if last else 0)

    async def recorded(self, job_id: str, number: int) -> Job:
        """The job once the recorder has folded event `number`."""
        async with asyncio.timeout(5):
            while True:
                self.committing.clear()
                job = await self.job_store.get("default", job_id)
                if job.last_event >= number:
                    return job
                await self.committing.wait()

    async def relayed(self) -> None:
        """Return when the outbox is empty."""
        async with asyncio.timeout(5):
            while True:
                self.committing.clear()
                if not await self.outbox.take(1):
                    return
                await self.committing.wait()

    async def announce(self, *models: ModelInfo, lanes: tuple[int, ...] = (1,)) -> None:
        """A worker that serves these models."""
        await self.bus.workers.announce(WorkerStatus(worker="w1", lanes=lanes, slots=1, models=models))

    def url(self, path: str) -> str:
        """An address on REST."""
        return f"http://127.0.0.1:{self.gateway.rest.port}{path}"


@pytest.fixture
def with_settings() -> Callable[..., contextlib.AbstractAsyncContextManager[Installation]]:
    """`installed`, for tests that choose the settings."""
    return installed


@pytest.fixture
async def here() -> AsyncIterator[Installation]:
    async with installed() as installation:
        yield installation


@contextlib.asynccontextmanager
async def installed(**settings: Any) -> AsyncIterator[Installation]:
    """An installation with these settings of its gateway."""
    bus, store = MemoryBus(), MemoryObjectStore()
    settings.setdefault("uploads", UploadSettings(kinds=frozenset()))  # tests that are not about kinds send any bytes
    async with memory_database() as database, aiohttp.ClientSession() as http:
        gateway = Gateway(database=database, bus=bus, store=store, grpc=ANYWHERE, rest=ANYWHERE, **settings)
        await gateway.start()
        async with grpc.aio.insecure_channel(f"127.0.0.1:{gateway.rpc.port}") as channel:
            yield Installation(gateway, database, bus, store, http, channel)
        await gateway.stop()
