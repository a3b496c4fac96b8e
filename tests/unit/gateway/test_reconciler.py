"""Database and streams, one of them restored from behind the other, agree again."""

from __future__ import annotations

import pytest

from framewire.db.assets import AssetStore
from framewire.db.jobs import JobStore
from framewire.db.outbox import Outbox
from framewire.db.repair import RepairStore
from framewire.jobs.ids import new_asset_id, new_job_id
from framewire.testing.bus import MemoryBus
from framewire.testing.database import memory_database
from framewire.testing.storage import MemoryObjectStore
from framewire.v1.asset_pb2 import ASSET_STATE_READY, Asset
from framewire.v1.job_pb2 import (
    JOB_STATE_CANCELLED,
    JOB_STATE_FAILED,
    JOB_STATE_QUEUED,
    JOB_STATE_RUNNING,
    JOB_STATE_SUCCEEDED,
    Error,
    Event,
    Job,
    JobState,
    StatusChange,
)
from framewire.v1.step_pb2 import LANE_GPU
from framewire.work.v1.work_pb2 import InputFile, JobOrder, WorkerStatus
from gateway.reconciler import Reconciler
from gateway.recorder import KEYS
from gateway.relay import Relay

W = "default"


class Setup:
    """A gateway's background work, done by hand."""

    def __init__(self, database) -> None:
        self.database = database
        self.assets, self.jobs = AssetStore(database), JobStore(database)
        self.lose_streams()

    def lose_streams(self) -> None:
        """NATS comes back empty."""
        self.bus = MemoryBus()
        outbox = Outbox(self.database)
        self.relay = Relay(outbox, self.database.outbox_filled, self.bus, MemoryObjectStore(), poll=0.01)
        self.restart()

    def restart(self) -> None:
        """The gateway starts anew."""
        self.reconciler = Reconciler(RepairStore(self.database), self.jobs, self.assets, self.bus)

    async def job(self) -> Job:
        """A job in the queue, recorded."""
        asset_id = new_asset_id()
        key = f"k/{asset_id}"
        await self.assets.create_upload(
            W, asset_id=asset_id, filename="x", size_bytes=1, declared_sha256="", object_key=key
        )
        await self.assets.complete_upload(W, asset_id, sha256="ab")
        order = JobOrder(
            job_id=new_job_id(), workspace_id=W, inputs=[InputFile(asset_id=asset_id)], lane=LANE_GPU, max_attempts=2
        )
        job = await self.jobs.create_job(order)
        await self.relay.round()
        await self.record(await self.bus.events.last(job.job_id))
        return job

    async def say(self, job: Job, state: JobState.ValueType, **status: object) -> Event:
        """Append as a worker does."""
        last = await self.bus.events.last(job.job_id)
        event = Event(job_id=job.job_id, workspace_id=W, attempt=1, status=StatusChange(state=state, **status))
        event.number = await self.bus.events.append(event, after=last.number if last else 0)
        return event

    async def record(self, *events: Event) -> None:
        await self.jobs.fold(events, keys=KEYS)

    async def look(self) -> None:
        await self.reconciler.round()
        await self.relay.round()

    async def state(self, job: Job) -> JobState.ValueType:
        return (await self.jobs.get(W, job.job_id)).state

    async def queue(self) -> list[str]:
        taken = []
        while delivery := await self.bus.jobs.pull([LANE_GPU], wait=0):
            taken.append(delivery.order.job_id)
        return taken


@pytest.fixture
async def s():
    async with memory_database() as database:
        yield Setup(database)


async def test_where_all_agrees_nothing_changes(s):
    waiting, running = await s.job(), await s.job()
    await s.record(await s.say(running, JOB_STATE_RUNNING))
    before = list(s.bus.events._stored)
    await s.look()
    assert s.bus.events._stored == before
    assert await s.queue() == [waiting.job_id, running.job_id]  # each once


async def test_a_row_from_before_a_retry_or_an_upload_learns_what_the_log_says(s):
    retried, ended = await s.job(), await s.job()
    await s.record(await s.say(retried, JOB_STATE_FAILED, error=Error(code="X", message="no")))
    for state in (JOB_STATE_QUEUED, JOB_STATE_RUNNING, JOB_STATE_SUCCEEDED):  # the database forgets all of it
        await s.say(retried, state)
    await s.record(await s.say(ended, JOB_STATE_SUCCEEDED))  # its end is newer, and known to both
    await s.look()
    assert await s.state(retried) == JOB_STATE_SUCCEEDED


async def test_ends_are_compared_again_from_time_to_time(s):
    job = await s.job()
    await s.record(await s.say(job, JOB_STATE_FAILED, error=Error(code="X", message="no")))
    await s.look()
    for state in (JOB_STATE_QUEUED, JOB_STATE_SUCCEEDED):
        await s.say(job, state)
    for _ in range(20):
        await s.look()
    assert await s.state(job) == JOB_STATE_SUCCEEDED


async def test_an_order_the_queue_has_lost_is_published_again(s):
    job = await s.job()
    assert len(await s.queue()) == 1
    await s.bus.jobs.remove(JobOrder(job_id=job.job_id, lane=LANE_GPU, max_attempts=2))
    await s.look()
    assert await s.queue() == [job.job_id]


async def test_after_the_loss_of_all_streams_unfinished_jobs_are_queued_again_and_end(s):
    waiting, running, ended = await s.job(), await s.job(), await s.job()
    await s.record(await s.say(running, JOB_STATE_RUNNING), await s.say(ended, JOB_STATE_SUCCEEDED))
    s.lose_streams()
    await s.look()
    assert sorted(await s.queue()) == sorted([waiting.job_id, running.job_id])
    for job in (waiting, running):
        await s.record(await s.bus.events.last(job.job_id))
        assert await s.state(job) == JOB_STATE_QUEUED
        await s.record(await s.say(job, JOB_STATE_RUNNING), await s.say(job, JOB_STATE_SUCCEEDED))
        assert await s.state(job) == JOB_STATE_SUCCEEDED
    assert await s.state(ended) == JOB_STATE_SUCCEEDED


@pytest.mark.parametrize("streams_are_lost", [True, False])
async def test_a_job_that_was_to_stop_is_still_to_stop_when_the_board_has_forgotten(s, streams_are_lost):
    job = await s.job()
    await s.record(await s.say(job, JOB_STATE_RUNNING))
    await s.jobs.request_cancel(W, job.job_id)
    await s.relay.round()
    if streams_are_lost:
        s.lose_streams()
    else:
        await s.bus.cancellations.withdraw(job.job_id)
    assert not await s.bus.cancellations.is_requested(job.job_id)
    await s.look()
    assert await s.bus.cancellations.is_requested(job.job_id)
    assert job.job_id in await s.queue()


async def test_a_database_from_before_the_end_of_a_job_learns_how_it_ended(s):
    job = await s.job()
    output = Asset(asset_id=new_asset_id(), filename="y.mp4", size_bytes=3, state=ASSET_STATE_READY)
    await s.say(job, JOB_STATE_RUNNING)
    await s.say(job, JOB_STATE_SUCCEEDED, outputs=[output])  # acknowledged by the recorder before the restore
    await s.look()
    assert await s.state(job) == JOB_STATE_QUEUED  # it may just be on its way
    await s.look()
    after = await s.jobs.get(W, job.job_id)
    assert (after.state, after.output_asset_ids) == (JOB_STATE_SUCCEEDED, [output.asset_id])


@pytest.mark.parametrize("state", [JOB_STATE_QUEUED, JOB_STATE_RUNNING])
async def test_a_log_from_before_what_the_row_knows_goes_on_and_the_row_follows_its_numbers(s, state):
    job = await s.job()
    for number in (500, 501):
        event = Event(number=number, job_id=job.job_id, workspace_id=W, attempt=1, status=StatusChange(state=state))
        await s.record(event)
    await s.look()
    assert (await s.jobs.get(W, job.job_id)).last_event < 500
    assert await s.queue() == [job.job_id]
    await s.record(await s.say(job, JOB_STATE_RUNNING), await s.say(job, JOB_STATE_SUCCEEDED))
    assert await s.state(job) == JOB_STATE_SUCCEEDED


@pytest.mark.parametrize("end", [JOB_STATE_SUCCEEDED, JOB_STATE_FAILED, JOB_STATE_CANCELLED])
async def test_a_log_from_before_the_end_of_a_job_is_told_how_it_ended(s, end):
    old, job = await s.job(), await s.job()
    await s.record(await s.say(old, JOB_STATE_SUCCEEDED))
    status = StatusChange(state=end, error=Error(code="X", message="no") if end == JOB_STATE_FAILED else None)
    await s.record(Event(number=700, job_id=job.job_id, workspace_id=W, attempt=1, status=status))
    s.restart()
    await s.look()
    last = await s.bus.events.last(job.job_id)
    assert (last.status.state, last.status.error.code) == (end, "X" if end == JOB_STATE_FAILED else "")
    after = await s.jobs.get(W, job.job_id)
    assert (after.state, after.last_event) == (end, last.number)
    assert (await s.bus.events.last(old.job_id)).number < last.number
    if end == JOB_STATE_FAILED:
        await s.jobs.retry(W, job.job_id, attempts=lambda order: 2)
        await s.relay.round()
        assert (await s.bus.events.last(job.job_id)).status.state == JOB_STATE_QUEUED


async def test_what_is_on_its_way_to_the_bus_is_left_alone(s):
    job = await s.job()
    await s.record(await s.say(job, JOB_STATE_FAILED))
    await s.jobs.retry(W, job.job_id, attempts=lambda order: 2)
    await s.reconciler.round()
    assert (await s.bus.events.last(job.job_id)).status.state == JOB_STATE_FAILED
    assert await s.state(job) == JOB_STATE_QUEUED


async def a_job_that_is_to_stop(s) -> Job:
    job = await s.job()
    await s.record(await s.say(job, JOB_STATE_RUNNING))
    await s.jobs.request_cancel(W, job.job_id)
    await s.relay.round()
    return job


async def test_a_job_that_is_to_stop_and_whose_worker_was_lost_is_cancelled_by_the_second_look(s):
    job = await a_job_that_is_to_stop(s)
    await s.look()
    assert (await s.bus.events.last(job.job_id)).status.state == JOB_STATE_RUNNING
    await s.look()
    last = await s.bus.events.last(job.job_id)
    assert (last.status.state, last.attempt) == (JOB_STATE_CANCELLED, 1)
    assert await s.queue() == []
    await s.record(last)
    await s.look()
    assert await s.state(job) == JOB_STATE_CANCELLED


async def test_a_job_that_is_to_stop_is_left_to_the_worker_that_runs_it(s):
    job = await a_job_that_is_to_stop(s)
    await s.bus.workers.announce(WorkerStatus(worker="w", running_job_ids=[job.job_id]))
    for _ in range(3):
        await s.look()
    assert (await s.bus.events.last(job.job_id)).status.state == JOB_STATE_RUNNING


async def test_a_job_that_is_to_stop_is_left_alone_while_its_log_moves(s):
    job = await a_job_that_is_to_stop(s)
    for _ in range(3):
        await s.look()
        await s.record(await s.say(job, JOB_STATE_RUNNING))
    assert (await s.bus.events.last(job.job_id)).status.state == JOB_STATE_RUNNING
