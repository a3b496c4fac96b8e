"""The relay: everything once, in order, whatever dies in between."""

from __future__ import annotations

import asyncio

import pytest

from framewire.db.assets import AssetStore
from framewire.db.jobs import JobStore
from framewire.db.outbox import ON_BUS, Outbox, OutboxKind
from framewire.errors import ErrorCode, Unavailable
from framewire.jobs.ids import new_asset_id, new_job_id
from framewire.testing.bus import MemoryBus
from framewire.testing.database import memory_database
from framewire.testing.storage import MemoryObjectStore
from framewire.v1.job_pb2 import (
    JOB_STATE_CANCELLED,
    JOB_STATE_FAILED,
    JOB_STATE_QUEUED,
    JOB_STATE_RUNNING,
    JOB_STATE_SUCCEEDED,
    JOB_STATE_WAITING_UPLOAD,
    Event,
    Job,
    JobState,
    StatusChange,
)
from framewire.v1.step_pb2 import LANE_GPU
from framewire.work.v1.work_pb2 import InputFile, JobOrder
from gateway import relay
from gateway.recorder import KEYS
from gateway.relay import Relay

W = "default"


def _wide(lane: str) -> int:
    """Every job's order is released at once."""
    return 1000


class Setup:
    def __init__(self, database) -> None:
        self.database = database
        self.assets, self.outbox = AssetStore(database, _wide), Outbox(database)
        self.jobs = JobStore(database, _wide)
        self.bus, self.store = MemoryBus(), MemoryObjectStore()
        self.relay = Relay(self.outbox, database.outbox_filled, self.bus, self.store, poll=0.01)

    async def job(self, *, uploaded: bool = True) -> Job:
        asset_id = new_asset_id()
        await self.assets.create_upload(
            W, asset_id=asset_id, filename="x", size_bytes=1, declared_sha256="", object_key=f"k/{asset_id}"
        )
        if uploaded:
            await self.assets.complete_upload(W, asset_id, sha256="ab")
        order = JobOrder(
            job_id=new_job_id(), workspace_id=W, inputs=[InputFile(asset_id=asset_id)], lane=LANE_GPU, priority=1
        )
        return await self.jobs.create_job(order)

    async def log(self, job: Job) -> list[JobState.ValueType]:
        """The states in the job's log so far."""
        stored = [Event.FromString(data) for data in self.bus.events._stored]
        return [event.status.state for event in stored if event.job_id == job.job_id]

    async def say(self, job: Job, state: JobState.ValueType, attempt: int = 1) -> None:
        last = await self.bus.events.last(job.job_id)
        event = Event(job_id=job.job_id, attempt=attempt, status=StatusChange(state=state))
        await self.bus.events.append(event, after=last.number if last else 0)

    async def queue(self) -> list[str]:
        taken = []
        while delivery := await self.bus.jobs.pull([LANE_GPU], wait=0):
            taken.append(delivery.order.job_id)
        return taken


@pytest.fixture
async def s():
    async with memory_database() as database:
        yield Setup(database)


async def test_a_new_job_is_said_to_be_queued_and_then_is(s):
    job = await s.job()
    await s.relay.round()
    assert await s.log(job) == [JOB_STATE_QUEUED]
    assert await s.queue() == [job.job_id]
    assert await s.outbox.take(9) == []


async def test_a_waiting_job_is_queued_by_its_upload(s):
    job = await s.job(uploaded=False)
    await s.relay.round()
    assert (await s.log(job), await s.queue()) == ([JOB_STATE_WAITING_UPLOAD], [])
    await s.assets.complete_upload(W, job.input_asset_ids[0], sha256="ab")
    await s.relay.round()
    assert await s.log(job) == [JOB_STATE_WAITING_UPLOAD, JOB_STATE_QUEUED]
    assert await s.queue() == [job.job_id]


@pytest.mark.parametrize("step", range(2))
async def test_nothing_is_lost_or_doubled_when_the_relay_dies_between_sending_and_removing(s, monkeypatch, step):
    job = await s.job()
    rows = await s.outbox.take(9)
    for row in rows[: step + 1]:
        await s.relay._send(row)  # and now it dies: nothing was removed
    again = Relay(s.outbox, s.database.outbox_filled, s.bus, s.store, poll=0.01)
    await again.round()
    assert await s.log(job) == [JOB_STATE_QUEUED]
    assert await s.queue() == [job.job_id]


async def test_a_relay_that_is_cut_anywhere_loses_nothing(s):
    jobs = [await s.job() for _ in range(5)]
    for turns in range(0, 60, 3):
        task = asyncio.ensure_future(s.relay.round())
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait({task})
    await s.relay.round()
    assert sorted(await s.queue()) == sorted(job.job_id for job in jobs)
    for job in jobs:
        assert await s.log(job) == [JOB_STATE_QUEUED]


async def test_two_relays_on_one_outbox_say_everything_once(s):
    jobs = [await s.job() for _ in range(20)]
    other = Relay(s.outbox, asyncio.Event(), s.bus, s.store, poll=0.0)
    await asyncio.gather(s.relay.round(), other.round())
    for job in jobs:
        assert await s.log(job) == [JOB_STATE_QUEUED]
    assert sorted(await s.queue()) == sorted(job.job_id for job in jobs)


def refuse(s, monkeypatch, *refused: Job) -> None:
    """The bus takes no event of these jobs, though it answers."""
    append, ids = s.bus.events.append, {job.job_id for job in refused}

    async def failing(event: Event, *, after: int) -> int:
        if event.job_id in ids:
            raise Unavailable("maximum payload exceeded", code=ErrorCode.BUS_UNAVAILABLE)
        return await append(event, after=after)

    monkeypatch.setattr(s.bus.events, "append", failing)


async def test_a_row_that_cannot_be_sent_holds_back_its_job_and_no_other(s, monkeypatch):
    monkeypatch.setattr(relay, "_FIRST_REST", 0.0)
    stuck, fine = await s.job(), await s.job()
    refuse(s, monkeypatch, stuck)
    await s.relay.round()
    assert await s.queue() == [fine.job_id]
    assert {row.subject for row in await s.outbox.take(9)} == {stuck.job_id}
    monkeypatch.undo()
    await s.relay.round()
    assert stuck.job_id in await s.queue()
    assert await s.log(stuck) == [JOB_STATE_QUEUED]


async def test_more_rows_that_cannot_be_sent_than_are_taken_at_once_hold_back_nothing(s, monkeypatch):
    monkeypatch.setattr(relay, "_BATCH", 4)
    stuck = [await s.job() for _ in range(6)]
    fine = await s.job()
    refuse(s, monkeypatch, *stuck)
    await s.relay.round()
    assert await s.queue() == [fine.job_id]


async def test_what_cannot_be_sent_is_left_alone_for_a_while_and_named_in_the_log(s, monkeypatch, caplog):
    stuck = await s.job()
    refuse(s, monkeypatch, stuck)
    await s.relay.round()
    monkeypatch.undo()
    s.database.outbox_filled.set()
    await s.relay.round()
    assert await s.queue() == []
    assert f"{stuck.job_id} cannot be sent" in caplog.text


async def test_no_row_is_to_blame_while_the_bus_is_away(s, monkeypatch):
    job = await s.job()
    refuse(s, monkeypatch, job)

    async def away() -> None:
        raise Unavailable("no answer", code=ErrorCode.BUS_UNAVAILABLE)

    monkeypatch.setattr(s.bus, "ping", away)
    with pytest.raises(Unavailable):
        await s.relay.round()
    assert s.database.outbox_filled.is_set()
    monkeypatch.undo()
    await s.relay.round()
    assert await s.queue() == [job.job_id]


async def test_jobs_are_sent_while_the_object_store_is_away(s, monkeypatch):
    async def away(key: str) -> None:
        raise Unavailable("no answer", code=ErrorCode.STORE_UNAVAILABLE)

    monkeypatch.setattr(s.store, "delete", away)
    await s.job(uploaded=False)
    asset_id = new_asset_id()
    await s.assets.create_upload(W, asset_id=asset_id, filename="x", size_bytes=1, declared_sha256="", object_key="k")
    await s.assets.delete(W, asset_id)
    job = await s.job()
    await Relay(s.outbox, s.database.outbox_filled, s.bus, s.store, kinds=ON_BUS).round()
    assert await s.queue() == [job.job_id]
    assert [row.kind for row in await s.outbox.take(9)] == [OutboxKind.DELETE_OBJECT]


async def test_a_queued_job_is_cancelled_and_leaves_the_queue(s):
    job = await s.job()
    await s.relay.round()
    await s.jobs.request_cancel(W, job.job_id)
    await s.relay.round()
    assert await s.log(job) == [JOB_STATE_QUEUED, JOB_STATE_CANCELLED]
    assert await s.queue() == []


async def test_a_job_cancelled_before_anything_was_sent_never_reaches_a_worker(s):
    job = await s.job(uploaded=False)
    await s.jobs.request_cancel(W, job.job_id)
    await s.relay.round()
    assert await s.log(job) == [JOB_STATE_WAITING_UPLOAD, JOB_STATE_CANCELLED]
    assert await s.queue() == []


async def test_a_running_job_is_left_to_its_worker_and_its_order_to_the_queue(s):
    job = await s.job()
    await s.relay.round()
    delivery = await s.bus.jobs.pull([LANE_GPU], wait=0)
    await s.say(job, JOB_STATE_RUNNING)
    await s.jobs.request_cancel(W, job.job_id)
    await s.relay.round()
    assert await s.log(job) == [JOB_STATE_QUEUED, JOB_STATE_RUNNING]
    assert await s.bus.cancellations.is_requested(job.job_id)
    await delivery.retry(0)  # the worker died: somebody else has to find out and say CANCELLED
    assert await s.queue() == [job.job_id]


async def test_a_job_between_two_attempts_is_cancelled_by_the_gateway(s):
    job = await s.job()
    await s.relay.round()
    await s.say(job, JOB_STATE_RUNNING)
    await s.say(job, JOB_STATE_QUEUED)
    await s.jobs.request_cancel(W, job.job_id)
    await s.relay.round()
    assert (await s.log(job))[-1] == JOB_STATE_CANCELLED
    assert await s.queue() == []
    last = await s.bus.events.last(job.job_id)
    assert last.attempt == 1  # what was begun stays begun


async def test_a_worker_that_starts_at_the_moment_of_the_cancellation_ends_the_job_itself(s, monkeypatch):
    job = await s.job()
    await s.relay.round()
    await s.jobs.request_cancel(W, job.job_id)
    append = s.bus.events.append

    async def late(event: Event, *, after: int) -> int:
        monkeypatch.undo()
        await s.say(job, JOB_STATE_RUNNING)
        return await append(event, after=after)

    monkeypatch.setattr(s.bus.events, "append", late)
    await s.relay.round()
    assert await s.log(job) == [JOB_STATE_QUEUED, JOB_STATE_RUNNING]
    assert await s.outbox.take(9) == []


@pytest.mark.parametrize("end", [JOB_STATE_SUCCEEDED, JOB_STATE_FAILED, JOB_STATE_CANCELLED])
async def test_nothing_is_said_after_the_end(s, end):
    job = await s.job()
    rows = await s.outbox.take(9)
    await s.relay.round()
    await s.queue()
    await s.say(job, JOB_STATE_RUNNING)
    await s.say(job, end)
    await s.jobs.request_cancel(W, job.job_id)
    await s.relay.round()
    for row in rows:
        await s.relay._send(row)  # an old relay, very late
    assert await s.log(job) == [JOB_STATE_QUEUED, JOB_STATE_RUNNING, end]


async def test_the_bytes_of_a_deleted_asset_are_deleted(s):
    job = await s.job()
    await s.relay.round()
    await s.jobs.fold(
        [Event(number=9, job_id=job.job_id, status=StatusChange(state=JOB_STATE_FAILED))],
        keys=KEYS,
    )
    key = f"k/{job.input_asset_ids[0]}"
    s.store._objects[key] = b"x"
    await s.assets.delete(W, job.input_asset_ids[0])
    await s.relay.round()
    assert await s.store.head(key) is None


async def test_a_commit_wakes_the_relay(s):
    sender = Relay(s.outbox, s.database.outbox_filled, s.bus, s.store, poll=60)
    s.database.outbox_filled.clear()
    turn = asyncio.ensure_future(sender.round())
    job = await s.job()
    async with asyncio.timeout(5):
        await turn
    assert await s.queue() == [job.job_id]
