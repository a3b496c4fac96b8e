"""Which jobs are released into the queue, how they stand in it, and how failed ones come back to it."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa
from databases import Stores, W, a_status, an_order

from framewire.db.jobs import JobFilter
from framewire.db.outbox import OutboxKind
from framewire.db.tables import workspaces
from framewire.errors import Conflict, ErrorCode, NotFound
from framewire.v1.job_pb2 import (
    JOB_STATE_CANCELLED,
    JOB_STATE_FAILED,
    JOB_STATE_QUEUED,
    JOB_STATE_RUNNING,
    JOB_STATE_SUCCEEDED,
    Error,
    Event,
    Job,
)
from framewire.v1.step_pb2 import LANE_CPU
from framewire.work.v1.work_pb2 import JobOrder

WINDOW = 4  # of stores that know of no worker


async def some_jobs(stores: Stores, count: int, **order: object) -> list[Job]:
    """Jobs of one workspace, oldest first, on one input."""
    asset_id = (await stores.ready()).asset.asset_id
    return [await stores.jobs.create_job(an_order(asset_id, **order)) for _ in range(count)]


async def a_workspace(stores: Stores, name: str) -> None:
    async with stores.database.write() as connection:
        await connection.execute(workspaces.insert().values(workspace_id=name, create_time=datetime.now(UTC)))


def ids(jobs: list[Job]) -> list[str]:
    return [job.job_id for job in jobs]


def end(job: Job, number: int) -> Event:
    return a_status(job, number, JOB_STATE_SUCCEEDED)


def failure(job: Job, number: int, attempt: int = 1) -> Event:
    return a_status(job, number, JOB_STATE_FAILED, attempt, error=Error(code="RUNNER_CRASHED", message="gone"))


# --- fairness


async def test_a_workspace_has_a_window_of_orders_in_the_queue_and_every_job_is_queued(stores):
    jobs = await some_jobs(stores, 10)
    assert await stores.released() == ids(jobs)[:WINDOW]
    assert {job.state for job in jobs} == {JOB_STATE_QUEUED}
    assert (await stores.kinds()).count(OutboxKind.APPEND_EVENT) == 10


async def test_the_oldest_follows_when_one_ends_whatever_its_end(stores):
    jobs = await some_jobs(stores, 8)
    await stores.sent()
    await stores.fold(end(jobs[1], 11), a_status(jobs[0], 12, JOB_STATE_CANCELLED), failure(jobs[2], 13))
    assert await stores.released() == ids(jobs)[WINDOW : WINDOW + 3]


async def test_an_ending_that_is_folded_twice_releases_once(stores):
    jobs = await some_jobs(stores, 8)
    await stores.sent()
    for _ in range(2):
        await stores.fold(end(jobs[0], 11))
    assert await stores.released() == [jobs[WINDOW].job_id]


async def test_a_job_that_runs_keeps_its_place_in_the_window(stores):
    jobs = await some_jobs(stores, 8)
    await stores.sent()
    await stores.fold(a_status(jobs[0], 11, JOB_STATE_RUNNING), a_status(jobs[0], 12, JOB_STATE_QUEUED))
    assert await stores.released() == []


async def test_another_workspaces_first_job_is_released_at_once(stores):
    await a_workspace(stores, "other")
    await some_jobs(stores, 10)
    asset = await stores.reserve("other")
    await stores.assets.complete_upload("other", asset.asset.asset_id, sha256="ab")
    order = an_order(asset.asset.asset_id)
    order.workspace_id = "other"
    job = await stores.jobs.create_job(order)
    assert (await stores.released())[-1] == job.job_id


async def test_each_priority_and_each_lane_has_a_window_of_its_own(stores):
    await some_jobs(stores, 10, priority=3)
    urgent = await some_jobs(stores, 1, priority=1)
    cpu = await some_jobs(stores, 1, lane=LANE_CPU)
    assert (await stores.released())[WINDOW:] == ids(urgent + cpu)


async def test_a_job_somebody_cancelled_is_not_released(stores):
    jobs = await some_jobs(stores, 6)
    await stores.jobs.request_cancel(W, jobs[WINDOW].job_id)
    await stores.sent()
    await stores.fold(end(jobs[0], 11))
    assert await stores.released() == [jobs[WINDOW + 1].job_id]


async def test_a_wider_window_releases_the_rest_and_says_how_many_are_left(stores):
    jobs = await some_jobs(stores, 10)
    await stores.sent()
    wider = Stores(stores.database, windows=lambda lane: 7)
    assert await wider.jobs.release_waiting() == {"gpu": 3}
    assert await wider.released() == ids(jobs)[WINDOW:7]
    assert await wider.jobs.release_waiting() == {"gpu": 3}
    narrower = Stores(stores.database, windows=lambda lane: 1)
    assert await narrower.jobs.release_waiting() == {"gpu": 3}


async def test_an_upload_queues_the_jobs_that_waited_for_it_as_far_as_the_window_goes(stores):
    reserved = await stores.reserve()
    jobs = [await stores.jobs.create_job(an_order(reserved.asset.asset_id)) for _ in range(6)]
    await stores.assets.complete_upload(W, reserved.asset.asset_id, sha256="ab")
    assert await stores.released() == ids(jobs)[:WINDOW]


async def test_the_window_holds_while_many_create_and_end_at_once(stores):
    asset_id = (await stores.ready()).asset.asset_id
    first = [await stores.jobs.create_job(an_order(asset_id)) for _ in range(WINDOW)]
    await stores.sent()
    await asyncio.gather(
        *(stores.jobs.create_job(an_order(asset_id)) for _ in range(20)),
        *(stores.fold(end(job, 50 + place)) for place, job in enumerate(first)),
        *(stores.jobs.release_waiting() for _ in range(3)),
    )
    released = await stores.released()
    assert len(released) == len(set(released)) == WINDOW


async def test_a_worker_that_has_a_job_this_database_forgot_to_have_released_counts(stores):
    jobs = await some_jobs(stores, 6)
    await stores.fold(a_status(jobs[5], 11, JOB_STATE_RUNNING))
    await stores.sent()
    await stores.fold(end(jobs[0], 12))
    assert await stores.released() == []


# --- retries


def two(order: JobOrder) -> int:
    return 2


async def test_a_failed_job_is_queued_again_with_attempts_of_its_own(stores):
    job = (await some_jobs(stores, 1, max_attempts=2))[0]
    await stores.fold(a_status(job, 11, JOB_STATE_RUNNING, 2), failure(job, 12, attempt=2))
    await stores.sent()
    again = await stores.jobs.retry(W, job.job_id, attempts=two)
    assert (again.state, again.attempt, again.max_attempts) == (JOB_STATE_QUEUED, 2, 4)
    assert [name for name in ("error", "end_time", "progress") if again.HasField(name)] == []
    remove, said, publish = await stores.outbox.take(10)
    assert [row.kind for row in (remove, said, publish)] == [
        OutboxKind.REMOVE_ORDER,
        OutboxKind.APPEND_EVENT,
        OutboxKind.PUBLISH_ORDER,
    ]
    event = Event.FromString(said.payload)
    assert (event.status.state, event.attempt, event.number) == (JOB_STATE_QUEUED, 2, 12)
    assert JobOrder.FromString(remove.payload).max_attempts == 2
    assert JobOrder.FromString(publish.payload).max_attempts == 4


async def test_a_retried_job_takes_its_place_in_the_window(stores):
    jobs = await some_jobs(stores, 6)
    await stores.fold(failure(jobs[0], 11))
    await stores.sent()
    await stores.jobs.retry(W, jobs[0].job_id, attempts=two)
    assert await stores.released() == []
    await stores.fold(end(jobs[1], 12), end(jobs[2], 13))
    assert await stores.released() == [jobs[5].job_id, jobs[0].job_id]


@pytest.mark.parametrize("state", [JOB_STATE_RUNNING, JOB_STATE_SUCCEEDED, JOB_STATE_CANCELLED])
async def test_only_a_failed_job_is_retried(stores, state):
    job = (await some_jobs(stores, 1))[0]
    await stores.fold(a_status(job, 11, state))
    await stores.sent()
    with pytest.raises(Conflict) as caught:
        await stores.jobs.retry(W, job.job_id, attempts=two)
    assert caught.value.code == ErrorCode.JOB_NOT_FAILED
    assert await stores.kinds() == []
    with pytest.raises(NotFound):
        await stores.jobs.retry("other", job.job_id, attempts=two)


async def test_ten_retries_at_once_are_one(stores):
    job = (await some_jobs(stores, 1))[0]
    await stores.fold(failure(job, 11))
    await stores.sent()
    retries = (stores.jobs.retry(W, job.job_id, attempts=two) for _ in range(10))
    results = await asyncio.gather(*retries, return_exceptions=True)
    assert [isinstance(result, Conflict) for result in results].count(False) == 1
    assert (await stores.kinds()).count(OutboxKind.PUBLISH_ORDER) == 1


async def test_a_job_whose_input_was_deleted_is_not_retried(stores):
    job = (await some_jobs(stores, 1))[0]
    await stores.fold(failure(job, 11))
    await stores.assets.delete(W, job.input_asset_ids[0])
    with pytest.raises(NotFound) as caught:
        await stores.jobs.retry(W, job.job_id, attempts=two)
    assert caught.value.code == ErrorCode.ASSET_NOT_FOUND
    assert (await stores.jobs.get(W, job.job_id)).state == JOB_STATE_FAILED


async def test_a_database_restored_from_before_a_retry_follows_the_log(stores):
    job = (await some_jobs(stores, 1))[0]
    await stores.fold(failure(job, 11), a_status(job, 12, JOB_STATE_QUEUED), a_status(job, 13, JOB_STATE_RUNNING, 3))
    after = await stores.jobs.get(W, job.job_id)
    assert (after.state, after.attempt, after.last_event) == (JOB_STATE_RUNNING, 3, 13)
    assert [name for name in ("error", "end_time") if after.HasField(name)] == []


async def test_a_late_failure_does_not_take_a_retried_job_back(stores):
    job = (await some_jobs(stores, 1))[0]
    await stores.fold(failure(job, 11))
    await stores.jobs.retry(W, job.job_id, attempts=two)
    await stores.fold(failure(job, 11))
    assert (await stores.jobs.get(W, job.job_id)).state == JOB_STATE_QUEUED


async def test_the_order_of_an_unfinished_job_is_sent_once_more_and_of_no_other(stores):
    jobs = await some_jobs(stores, 6)
    await stores.fold(end(jobs[0], 11))
    await stores.sent()
    for job in (jobs[0], jobs[1], jobs[5]):  # ended, in the queue, outside of it
        await stores.jobs.republish(job.job_id)
    assert await stores.released() == [jobs[1].job_id]


# --- looking at the queue


async def test_positions_go_by_priority_then_age(stores):
    patient = await some_jobs(stores, 2, priority=3)
    usual = await some_jobs(stores, 2)
    view = await stores.queue.lane("gpu", ids(patient + usual))
    assert [view.positions[job.job_id] for job in usual + patient] == [1, 2, 3, 4]
    assert (await stores.queue.lane("cpu", ids(usual))).positions == {}


async def test_anothers_first_job_stands_behind_a_window_of_ours(stores):
    await a_workspace(stores, "other")
    jobs = await some_jobs(stores, 10)
    asset = await stores.reserve("other")
    await stores.assets.complete_upload("other", asset.asset.asset_id, sha256="ab")
    order = an_order(asset.asset.asset_id)
    order.workspace_id = "other"
    job = await stores.jobs.create_job(order)
    view = await stores.queue.lane("gpu", [job.job_id, jobs[3].job_id, jobs[4].job_id])
    assert view.positions == {jobs[3].job_id: 4, job.job_id: 5, jobs[4].job_id: 6}


async def test_a_job_that_runs_has_no_position_and_the_others_move_up(stores):
    jobs = await some_jobs(stores, 3)
    await stores.fold(a_status(jobs[0], 11, JOB_STATE_RUNNING))
    view = await stores.queue.lane("gpu", ids(jobs))
    assert view.positions == {jobs[1].job_id: 1, jobs[2].job_id: 2}
    assert (view.waiting, view.running) == (2, 1)


async def test_a_lane_knows_how_long_its_jobs_took_and_how_long_the_oldest_waits(stores):
    began = datetime.now(UTC)
    jobs = await some_jobs(stores, 3)
    assert (await stores.queue.lane("gpu")).average is None
    await stores.fold(a_status(jobs[0], 10, JOB_STATE_RUNNING), end(jobs[0], 30))
    await stores.fold(a_status(jobs[1], 40, JOB_STATE_RUNNING), end(jobs[1], 50))
    view = await stores.queue.lane("gpu")
    assert view.average == 15.0
    assert view.oldest is not None
    assert began - timedelta(seconds=1) <= view.oldest <= datetime.now(UTC)
    assert (await stores.queue.lane("cpu")).oldest is None


async def test_jobs_are_listed_by_the_time_they_were_created(stores):
    jobs = await some_jobs(stores, 4)
    times = [job.create_time.ToDatetime(UTC) for job in jobs]
    async with stores.database.write() as connection:  # a day between them
        for days, job in enumerate(jobs):
            moved = times[0] + timedelta(days=days)
            await connection.execute(
                sa.text("UPDATE jobs SET create_time = :time WHERE job_id = :id").bindparams(
                    sa.bindparam("time", moved, type_=sa.DateTime(timezone=True)), id=job.job_id
                )
            )
    wanted = JobFilter(created_from=times[0] + timedelta(days=1), created_before=times[0] + timedelta(days=3))
    assert ids(list(await stores.jobs.list(W, limit=9, wanted=wanted))) == [jobs[2].job_id, jobs[1].job_id]
    page = await stores.jobs.list(W, limit=9, before=jobs[2].job_id, wanted=wanted)
    assert ids(list(page)) == [jobs[1].job_id]


# --- one key, many calls


async def test_a_thousand_creates_at_once_with_one_key_make_one_job(stores):
    asset_id = (await stores.ready()).asset.asset_id
    made = await asyncio.gather(
        *(stores.jobs.create_job(an_order(asset_id), idempotency_key="k", fingerprint="f") for _ in range(1000))
    )
    assert len({job.job_id for job in made}) == 1
    assert len(await stores.jobs.list(W, limit=10)) == 1
    assert await stores.kinds() == [OutboxKind.APPEND_EVENT, OutboxKind.PUBLISH_ORDER]
