"""Stores on a database of a test's own, and the orders and events they are fed with."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa
from servers import PostgresServer
from sqlalchemy.ext.asyncio import create_async_engine

from framewire.db.assets import AssetStore
from framewire.db.database import Database
from framewire.db.folding import ObjectKeys
from framewire.db.jobs import JobStore
from framewire.db.outbox import Outbox, OutboxKind
from framewire.db.releasing import Windows, default_windows
from framewire.db.rows import StoredAsset
from framewire.db.waiting import QueueView
from framewire.jobs.ids import new_asset_id, new_job_id
from framewire.v1.job_pb2 import Event, Job, OutputSettings, StatusChange
from framewire.v1.step_pb2 import LANE_GPU, Enhance, Step
from framewire.work.v1.work_pb2 import InputFile, JobOrder

KEYS = ObjectKeys(
    result=lambda event, asset: f"result/{event.attempt}/{asset.asset_id}",
    thumbnail=lambda event: f"thumbnail/{event.attempt}",
    segments=lambda workspace_id, job_id: f"{workspace_id}/segments/{job_id}/",
)
W = "default"


@dataclass
class Stores:
    database: Database
    windows: Windows = default_windows

    def __post_init__(self) -> None:
        self.assets = AssetStore(self.database, self.windows)
        self.jobs = JobStore(self.database, self.windows)
        self.queue = QueueView(self.database, self.windows)
        self.outbox = Outbox(self.database)

    async def reserve(self, workspace: str = W) -> StoredAsset:
        asset_id = new_asset_id()
        return await self.assets.create_upload(
            workspace,
            asset_id=asset_id,
            filename="clip.mp4",
            size_bytes=5,
            declared_sha256="",
            object_key=f"k/{asset_id}",
        )

    async def ready(self) -> StoredAsset:
        reserved = await self.reserve()
        return await self.assets.complete_upload(W, reserved.asset.asset_id, sha256="ab")

    async def queued(self, **order: object) -> Job:
        return await self.jobs.create_job(an_order((await self.ready()).asset.asset_id, **order))

    async def fold(self, *events: Event) -> None:
        await self.jobs.fold(events, keys=KEYS)

    async def released(self) -> list[str]:
        """Ids of the jobs whose orders are to be sent, in the order of sending."""
        rows = await self.outbox.take(1000)
        return [row.subject for row in rows if row.kind == OutboxKind.PUBLISH_ORDER]

    async def sent(self) -> None:
        """Everything in the outbox was sent."""
        while rows := await self.outbox.take(1000):
            await self.outbox.remove([row.outbox_id for row in rows])

    async def kinds(self) -> list[OutboxKind]:
        return [row.kind for row in await self.outbox.take(1000)]


def an_order(*asset_ids: str, **fields: object) -> JobOrder:
    order = JobOrder(
        job_id=new_job_id(),
        workspace_id=W,
        inputs=[InputFile(asset_id=each) for each in asset_ids],
        steps=[Step(enhance=Enhance(scale=2))],
        output=OutputSettings(crf=0),
        lane=LANE_GPU,
        priority=2,
        output_asset_id=new_asset_id(),
    )
    order.MergeFrom(JobOrder(**fields))
    return order


def an_event(job: Job, number: int, attempt: int = 1, **kind: object) -> Event:
    event = Event(number=number, job_id=job.job_id, workspace_id=W, attempt=attempt, **kind)
    event.time.FromSeconds(1_700_000_000 + number)
    return event


def a_status(job: Job, number: int, state: int, attempt: int = 1, **fields: object) -> Event:
    return an_event(job, number, attempt, status=StatusChange(state=state, worker="w1", **fields))


@contextlib.asynccontextmanager
async def postgres_database(server: PostgresServer) -> AsyncIterator[Database]:
    """A database of one test's own."""
    name = f"test_{secrets.token_hex(6)}"
    admin = create_async_engine(server.url, isolation_level="AUTOCOMMIT")
    async with admin.connect() as connection:
        await connection.execute(sa.text(f"CREATE DATABASE {name}"))
    await admin.dispose()
    database = Database.open(f"{server.url.rsplit('/', 1)[0]}/{name}")
    try:
        yield database
    finally:
        await database.close()


@contextlib.asynccontextmanager
async def file_database(path: Path) -> AsyncIterator[Database]:
    database = Database.open(f"sqlite+aiosqlite:///{path / 'test.db'}")
    try:
        yield database
    finally:
        await database.close()
