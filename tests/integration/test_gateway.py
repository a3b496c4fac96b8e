"""The gateway as a program, on real NATS, S3 and both databases."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
import signal
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import grpc
import pytest
import sqlalchemy as sa
from gateway_program import BOUND, Program
from servers import NatsServer, PostgresServer, S3Server
from sqlalchemy.ext.asyncio import create_async_engine

from framewire.bus.nats import NatsBus, NatsSettings
from framewire.v1.asset_pb2 import (
    ASSET_STATE_READY,
    Asset,
    CompleteUploadRequest,
    CreateDownloadUrlRequest,
    CreateUploadRequest,
)
from framewire.v1.asset_pb2_grpc import AssetServiceStub
from framewire.v1.job_pb2 import (
    JOB_STATE_CANCELLED,
    JOB_STATE_FAILED,
    JOB_STATE_QUEUED,
    JOB_STATE_RUNNING,
    JOB_STATE_SUCCEEDED,
    CancelJobRequest,
    CreateJobRequest,
    Error,
    Event,
    GetJobRequest,
    Job,
    Progress,
    StatusChange,
    WatchJobRequest,
)
from framewire.v1.job_pb2_grpc import JobServiceStub
from framewire.v1.operations_pb2 import (
    GetDeadLetterRequest,
    ListDeadLettersRequest,
    ListLanesRequest,
    PauseLaneRequest,
    RedriveDeadLetterRequest,
    ResumeLaneRequest,
)
from framewire.v1.operations_pb2_grpc import OperationsServiceStub
from framewire.v1.step_pb2 import LANE_GPU, Enhance, Step
from framewire.work.v1.work_pb2 import JobOrder

CLIP = b"\0\0\0\x18ftypisom" + secrets.token_bytes(3 << 20)  # no probe looks inside: what begins like an MP4 will do


@dataclass
class Site:
    """A running gateway, its clients, and the bus a worker would use."""

    program: Program
    bus: NatsBus
    http: aiohttp.ClientSession

    def connect(self) -> None:
        self.channel = grpc.aio.insecure_channel(self.program.grpc)
        self.assets, self.jobs = AssetServiceStub(self.channel), JobServiceStub(self.channel)
        self.operations = OperationsServiceStub(self.channel)

    async def upload(self) -> Asset:
        request = CreateUploadRequest(
            filename="clip.mp4", size_bytes=len(CLIP), sha256=hashlib.sha256(CLIP).hexdigest()
        )
        created = await self.assets.CreateUpload(request, timeout=BOUND)
        if created.asset.state == ASSET_STATE_READY:
            return created.asset
        upload = created.upload
        async with self.http.request(upload.method, upload.url, data=CLIP, headers=dict(upload.headers)) as answer:
            assert answer.status == 200, await answer.text()
        return await self.assets.CompleteUpload(CompleteUploadRequest(asset_id=created.asset.asset_id), timeout=BOUND)

    async def submit(self, asset: Asset, **fields: object) -> Job:
        request = CreateJobRequest(input_asset_ids=[asset.asset_id], steps=[Step(enhance=Enhance())], **fields)
        return await self.jobs.CreateJob(request, timeout=BOUND)

    async def say(self, job: Job | JobOrder, **kind: object) -> int:
        last = await self.bus.events.last(job.job_id)
        event = Event(job_id=job.job_id, workspace_id=job.workspace_id, attempt=1, **kind)
        event.time.GetCurrentTime()
        return await self.bus.events.append(event, after=last.number if last else 0)

    async def recorded(self, job: Job, number: int) -> Job:
        """The job once the recorder has folded event `number`: asked for again with every new answer."""
        async with asyncio.timeout(BOUND):
            while True:
                found = await self.jobs.GetJob(GetJobRequest(job_id=job.job_id))
                if found.last_event >= number:
                    return found
                await asyncio.sleep(0.02)  # the row of another process: nothing signals it here


@pytest.fixture(params=["sqlite", "postgres"])
async def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite+aiosqlite:///{tmp_path / 'framewire.db'}"
    server: PostgresServer = request.getfixturevalue("postgres_server")
    name = f"gateway_{secrets.token_hex(6)}"
    admin = create_async_engine(server.url, isolation_level="AUTOCOMMIT")
    async with admin.connect() as connection:
        await connection.execute(sa.text(f"CREATE DATABASE {name}"))
    await admin.dispose()
    return f"{server.url.rsplit('/', 1)[0]}/{name}"


@pytest.fixture
async def site(
    database_url: str, own_nats_server: NatsServer, s3_server: S3Server, tmp_path: Path
) -> AsyncIterator[Site]:
    env = {
        "FRAMEWIRE_NATS_URL": own_nats_server.url,
        "FRAMEWIRE_S3_ENDPOINT": s3_server.endpoint,
        "FRAMEWIRE_S3_BUCKET": f"gateway-{secrets.token_hex(6)}",
        "FRAMEWIRE_S3_ACCESS_KEY": s3_server.access_key,
        "FRAMEWIRE_S3_SECRET_KEY": s3_server.secret_key,
        "FRAMEWIRE_DATABASE_URL": database_url,
        "FRAMEWIRE_GRPC_ADDRESS": "127.0.0.1:0",
        "FRAMEWIRE_REST_ADDRESS": "127.0.0.1:0",
    }
    program = Program(env, tmp_path / "gateway.log")
    bus = await NatsBus.connect(NatsSettings(url=own_nats_server.url))
    async with aiohttp.ClientSession() as http:
        try:
            await program.start()
            site = Site(program, bus, http)
            site.connect()
            yield site
            await site.channel.close()
        finally:
            await program.end(signal.SIGKILL)
            await bus.close()


async def test_a_job_goes_all_the_way_and_both_wires_tell_the_same(site):
    asset = await site.upload()
    assert asset.state == ASSET_STATE_READY
    job = await site.submit(asset)
    delivery = await site.bus.jobs.pull([LANE_GPU], wait=BOUND)
    assert delivery.order.job_id == job.job_id
    await site.say(job, status=StatusChange(state=JOB_STATE_RUNNING, worker="w1"))
    await site.say(job, progress=Progress(stage="process", fraction=0.5))
    output = Asset(asset_id=delivery.order.output_asset_id, filename="out.mp4", size_bytes=1, state=ASSET_STATE_READY)
    last = await site.say(job, status=StatusChange(state=JOB_STATE_SUCCEEDED, outputs=[output]))
    await delivery.ack()

    watched = [event async for event in site.jobs.WatchJob(WatchJobRequest(job_id=job.job_id), timeout=BOUND)]
    assert [event.WhichOneof("kind") for event in watched] == ["status", "status", "progress", "status"]
    address = f"http://{site.program.rest}/v1/jobs/{job.job_id}:watch"
    async with site.http.get(address, headers={"Accept": "text/event-stream"}) as answer:
        lines = (await answer.text()).splitlines()
    assert [line for line in lines if line.startswith("id:")] == [f"id: {event.number}" for event in watched]
    recorded = await site.recorded(job, last)
    assert (recorded.state, list(recorded.output_asset_ids)) == (JOB_STATE_SUCCEEDED, [output.asset_id])

    signed = await site.assets.CreateDownloadUrl(CreateDownloadUrlRequest(asset_id=asset.asset_id))
    async with site.http.get(signed.download.url) as answer:
        assert await answer.read() == CLIP


async def test_a_cancelled_job_leaves_the_real_queue(site):
    job = await site.submit(await site.upload())
    await site.jobs.CancelJob(CancelJobRequest(job_id=job.job_id))
    watched = [event async for event in site.jobs.WatchJob(WatchJobRequest(job_id=job.job_id), timeout=BOUND)]
    assert [event.status.state for event in watched] == [JOB_STATE_QUEUED, JOB_STATE_CANCELLED]
    recorded = await site.recorded(job, watched[-1].number)
    assert (recorded.state, recorded.cancel_requested) == (JOB_STATE_CANCELLED, False)
    next_job = await site.submit(await site.upload())
    delivery = await site.bus.jobs.pull([LANE_GPU], wait=BOUND)
    assert delivery.order.job_id == next_job.job_id


async def test_jobs_survive_a_gateway_that_is_killed(site):
    asset = await site.upload()
    creating = [asyncio.ensure_future(site.submit(asset, idempotency_key=f"k{number}")) for number in range(20)]
    await creating[0]
    await site.program.end(signal.SIGKILL)
    await asyncio.wait(creating)
    await site.channel.close()
    await site.program.start()
    site.connect()
    again = [await site.submit(asset, idempotency_key=f"k{number}") for number in range(20)]
    first_time = [task.result() for task in creating if not task.exception()]
    assert {job.job_id for job in first_time} <= {job.job_id for job in again}
    delivered = []
    for _ in again:
        delivery = await site.bus.jobs.pull([LANE_GPU], wait=BOUND)
        delivered.append(delivery.order.job_id)
        await site.say(delivery.order, status=StatusChange(state=JOB_STATE_SUCCEEDED))
        await delivery.ack()
    assert sorted(delivered) == sorted(job.job_id for job in again)
    for job in again:
        said = [event.status.state async for event in site.bus.events.read(job.job_id)]
        assert said == [JOB_STATE_QUEUED, JOB_STATE_SUCCEEDED]  # each once


async def test_events_of_the_time_it_was_away_are_folded_when_it_is_back(site):
    job = await site.submit(await site.upload())
    delivery = await site.bus.jobs.pull([LANE_GPU], wait=BOUND)
    assert await site.program.end(signal.SIGTERM) == 0
    await site.say(job, status=StatusChange(state=JOB_STATE_RUNNING, worker="w1"))
    last = await site.say(job, status=StatusChange(state=JOB_STATE_SUCCEEDED))
    await delivery.ack()
    await site.channel.close()
    await site.program.start()
    site.connect()
    assert (await site.recorded(job, last)).state == JOB_STATE_SUCCEEDED


async def test_a_job_that_failed_is_redriven_and_its_watcher_sees_all_of_it(site):
    job = await site.submit(await site.upload())
    delivery = await site.bus.jobs.pull([LANE_GPU], wait=BOUND)
    await site.say(job, status=StatusChange(state=JOB_STATE_RUNNING, worker="w1"))
    error = Error(code="RUNNER_CRASHED", message="the runner died")
    last = await site.say(job, status=StatusChange(state=JOB_STATE_FAILED, error=error))
    await site.bus.dead_letters.bury(delivery.order, "RUNNER_CRASHED: the runner died", ["attempt 1 failed"])
    assert (await site.recorded(job, last)).error == error  # the worker has not acknowledged yet
    (letter,) = (await site.operations.ListDeadLetters(ListDeadLettersRequest(), timeout=BOUND)).dead_letters
    shown = await site.operations.GetDeadLetter(GetDeadLetterRequest(number=letter.number), timeout=BOUND)
    assert (shown.job_id, list(shown.history)) == (job.job_id, ["attempt 1 failed"])
    await site.operations.RedriveDeadLetter(RedriveDeadLetterRequest(number=letter.number), timeout=BOUND)
    await delivery.ack()
    again = await site.bus.jobs.pull([LANE_GPU], wait=BOUND)
    assert (again.order.job_id, again.order.max_attempts) == (job.job_id, 3)
    await site.say(job, status=StatusChange(state=JOB_STATE_SUCCEEDED))
    await again.ack()
    watched = [event async for event in site.jobs.WatchJob(WatchJobRequest(job_id=job.job_id), timeout=BOUND)]
    assert [event.status.state for event in watched] == [
        JOB_STATE_QUEUED,
        JOB_STATE_RUNNING,
        JOB_STATE_FAILED,
        JOB_STATE_QUEUED,
        JOB_STATE_SUCCEEDED,
    ]
    assert (await site.recorded(job, watched[-1].number)).state == JOB_STATE_SUCCEEDED
    assert (await site.operations.ListDeadLetters(ListDeadLettersRequest(), timeout=BOUND)).dead_letters == []


async def test_a_paused_lane_stays_paused_when_the_gateway_comes_back(site):
    await site.operations.PauseLane(PauseLaneRequest(lane=LANE_GPU), timeout=BOUND)
    await site.submit(await site.upload())
    await site.program.end(signal.SIGKILL)
    await site.channel.close()
    await site.program.start()
    site.connect()
    gpu, cpu = (await site.operations.ListLanes(ListLanesRequest(), timeout=BOUND)).lanes
    assert (gpu.paused, gpu.waiting, cpu.paused) == (True, 1, False)
    assert await site.bus.controls.paused() == {LANE_GPU}
    assert not (await site.operations.ResumeLane(ResumeLaneRequest(lane=LANE_GPU), timeout=BOUND)).paused


async def test_an_order_the_queue_has_lost_is_published_again_when_the_gateway_starts(site):
    job = await site.submit(await site.upload())
    delivery = await site.bus.jobs.pull([LANE_GPU], wait=BOUND)
    await site.program.end(signal.SIGKILL)
    await site.bus.jobs.remove(delivery.order)
    await site.channel.close()
    await site.program.start()
    site.connect()
    again = await site.bus.jobs.pull([LANE_GPU], wait=BOUND)
    assert again.order.job_id == job.job_id


async def test_a_terminated_gateway_sends_its_watchers_away_and_ends_well(site):
    job = await site.submit(await site.upload())
    call = site.jobs.WatchJob(WatchJobRequest(job_id=job.job_id))
    await call.read()
    ending = asyncio.ensure_future(site.program.end(signal.SIGTERM))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call.read()
    assert caught.value.code() == grpc.StatusCode.UNAVAILABLE
    assert await ending == 0


async def test_it_is_ready_when_everything_behind_it_answers(site):
    async with site.http.get(f"http://{site.program.rest}/readyz") as answer:
        assert answer.status == 200
        assert set((await answer.json())["dependencies"].values()) == {"ok"}
    health = site.channel.unary_unary("/grpc.health.v1.Health/Check")
    assert await health(b"\x0a\x17framewire.v1.JobService") == b"\x08\x01"
