"""Retries, queue positions, lanes, workers and dead letters, on both wires."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from urllib.parse import quote

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2

from framewire.jobs.fairness import LEAST_WINDOW
from framewire.v1.job_pb2 import (
    JOB_STATE_CANCELLED,
    JOB_STATE_FAILED,
    JOB_STATE_QUEUED,
    JOB_STATE_RUNNING,
    JOB_STATE_SUCCEEDED,
    CancelJobRequest,
    Error,
    GetJobRequest,
    Job,
    ListJobsRequest,
    RetryJobRequest,
    WatchJobRequest,
)
from framewire.v1.operations_pb2 import (
    DrainWorkerRequest,
    DropDeadLetterRequest,
    GetDeadLetterRequest,
    ListDeadLettersRequest,
    ListLanesRequest,
    ListWorkersRequest,
    PauseLaneRequest,
    RedriveDeadLetterRequest,
    ResumeLaneRequest,
    ResumeWorkerRequest,
)
from framewire.v1.step_pb2 import LANE_CPU, LANE_GPU
from framewire.work.v1.work_pb2 import JobOrder, WorkerStatus

ERROR = Error(code="RUNNER_CRASHED", message="the runner died")


def code_of(error: grpc.aio.AioRpcError) -> str:
    status = status_pb2.Status.FromString(dict(error.trailing_metadata())["grpc-status-details-bin"])
    info = error_details_pb2.ErrorInfo()
    status.details[0].Unpack(info)
    return info.reason


async def queued(here) -> Job:
    """A job whose order is in the queue."""
    job = await here.submit((await here.upload()).asset_id)
    await here.relayed()
    return job


async def failed(here) -> tuple[Job, JobOrder]:
    """A job that failed for good, its order taken and buried as a worker does."""
    job = await queued(here)
    delivery = await here.bus.jobs.pull([LANE_GPU], wait=1)
    await here.say(job.job_id, JOB_STATE_RUNNING)
    number = await here.say(job.job_id, JOB_STATE_FAILED, error=ERROR)
    await here.bus.dead_letters.bury(delivery.order, "RUNNER_CRASHED: the runner died", ["attempt 1 failed"])
    await delivery.ack()
    return await here.recorded(job.job_id, number), delivery.order


async def states(here, job_id: str) -> list[int]:
    return [event.status.state async for event in here.jobs.WatchJob(WatchJobRequest(job_id=job_id))]


# --- retries


async def test_a_retried_job_goes_to_a_worker_with_attempts_of_its_own_and_ends_as_that_one_says(here):
    job, order = await failed(here)
    again = await here.jobs.RetryJob(RetryJobRequest(job_id=job.job_id))
    assert (again.state, again.attempt, again.HasField("error")) == (JOB_STATE_QUEUED, 1, False)
    await here.relayed()
    delivery = await here.bus.jobs.pull([LANE_GPU], wait=1)
    assert (delivery.order.job_id, delivery.order.max_attempts) == (job.job_id, order.max_attempts + 1)
    await here.say(job.job_id, JOB_STATE_RUNNING)
    number = await here.say(job.job_id, JOB_STATE_SUCCEEDED)
    assert (await here.recorded(job.job_id, number)).state == JOB_STATE_SUCCEEDED
    assert await states(here, job.job_id) == [
        JOB_STATE_QUEUED,
        JOB_STATE_RUNNING,
        JOB_STATE_FAILED,
        JOB_STATE_QUEUED,
        JOB_STATE_RUNNING,
        JOB_STATE_SUCCEEDED,
    ]


async def test_a_job_that_has_not_failed_is_not_retried(here):
    job = await queued(here)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await here.jobs.RetryJob(RetryJobRequest(job_id=job.job_id))
    assert (caught.value.code(), code_of(caught.value)) == (grpc.StatusCode.FAILED_PRECONDITION, "JOB_NOT_FAILED")


async def test_a_cancellation_that_came_too_late_does_not_stop_the_retry(here):
    job = await queued(here)
    delivery = await here.bus.jobs.pull([LANE_GPU], wait=1)
    await here.say(job.job_id, JOB_STATE_RUNNING)
    await here.jobs.CancelJob(CancelJobRequest(job_id=job.job_id))
    await here.relayed()
    assert await here.bus.cancellations.is_requested(job.job_id)
    number = await here.say(job.job_id, JOB_STATE_FAILED, error=ERROR)
    await delivery.ack()
    await here.recorded(job.job_id, number)
    await here.jobs.RetryJob(RetryJobRequest(job_id=job.job_id))
    await here.relayed()
    assert not await here.bus.cancellations.is_requested(job.job_id)


async def test_a_retried_job_can_be_cancelled(here):
    job, _ = await failed(here)
    await here.jobs.RetryJob(RetryJobRequest(job_id=job.job_id))
    await here.relayed()
    await here.jobs.CancelJob(CancelJobRequest(job_id=job.job_id))
    assert (await states(here, job.job_id))[-1] == JOB_STATE_CANCELLED


# --- the queue


async def test_queued_jobs_show_where_they_stand_and_when_they_start(here):
    first = await queued(here)
    await here.say(first.job_id, JOB_STATE_RUNNING)
    number = await here.say(first.job_id, JOB_STATE_SUCCEEDED)
    await here.recorded(first.job_id, number)
    await here.announce(lanes=(LANE_GPU,))
    await here.operations.ListWorkers(ListWorkersRequest())  # the gateway has heard of the worker
    second, third = await queued(here), await queued(here)
    listed = (await here.jobs.ListJobs(ListJobsRequest())).jobs
    assert [(job.job_id, job.queue_position) for job in listed] == [
        (third.job_id, 2),
        (second.job_id, 1),
        (first.job_id, 0),
    ]
    assert [job.HasField("queue_eta") for job in listed] == [True, True, False]
    assert listed[1].queue_eta.ToNanoseconds() == 0  # a slot is free
    await here.operations.PauseLane(PauseLaneRequest(lane=LANE_GPU))
    job = await here.jobs.GetJob(GetJobRequest(job_id=second.job_id))
    assert (job.queue_position, job.HasField("queue_eta")) == (1, False)


async def test_the_queue_holds_a_window_and_hears_how_many_wait_outside(here, monkeypatch):
    told: asyncio.Queue[tuple[int, int]] = asyncio.Queue()

    async def hear(lane: int, count: int) -> None:
        told.put_nowait((lane, count))

    monkeypatch.setattr(here.bus.jobs, "announce_held_back", hear)
    asset_id = (await here.upload()).asset_id
    jobs = [await here.submit(asset_id) for _ in range(LEAST_WINDOW + 2)]
    await here.relayed()
    async with asyncio.timeout(5):
        while await told.get() != (LANE_GPU, 2):
            pass
    pulled = [(await here.bus.jobs.pull([LANE_GPU], wait=1)).order.job_id for _ in range(LEAST_WINDOW)]
    assert pulled == [job.job_id for job in jobs[:LEAST_WINDOW]]
    assert await here.bus.jobs.pull([LANE_GPU], wait=0) is None
    await here.say(jobs[0].job_id, JOB_STATE_RUNNING)
    await here.say(jobs[0].job_id, JOB_STATE_SUCCEEDED)
    assert (await here.bus.jobs.pull([LANE_GPU], wait=5)).order.job_id == jobs[LEAST_WINDOW].job_id


async def test_jobs_are_listed_by_time_on_both_wires(here):
    first, second = await queued(here), await queued(here)
    request = ListJobsRequest(created_before=second.create_time)
    assert [job.job_id for job in (await here.jobs.ListJobs(request)).jobs] == [first.job_id]
    time = quote(second.create_time.ToJsonString())
    async with here.http.get(here.url(f"/v1/jobs?createdAfter={time}")) as answer:
        assert [job["jobId"] for job in (await answer.json())["jobs"]] == [second.job_id]
    async with here.http.get(here.url("/v1/jobs?created_after=soon")) as answer:
        assert answer.status == 400


async def test_a_page_token_of_one_span_of_time_does_not_continue_another(here):
    jobs = [await queued(here) for _ in range(2)]
    request = ListJobsRequest(page_size=1, created_after=jobs[0].create_time)
    page = await here.jobs.ListJobs(request)
    request.page_token = page.next_page_token
    assert [job.job_id for job in (await here.jobs.ListJobs(request)).jobs] == [jobs[0].job_id]
    request.created_after.seconds -= 1
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await here.jobs.ListJobs(request)
    assert code_of(caught.value) == "PAGE_TOKEN_INVALID"


# --- workers and lanes


async def test_workers_are_shown_as_they_announced_themselves(here):
    await here.bus.workers.announce(WorkerStatus(worker="b", lanes=[LANE_GPU], slots=2, running_job_ids=["job_x"]))
    rented = WorkerStatus(worker="a", lanes=[LANE_GPU, LANE_CPU], slots=3, overflow_after=0, priorities=[1])
    await here.bus.workers.announce(rented)
    first, second = (await here.operations.ListWorkers(ListWorkersRequest())).workers
    assert (first.worker, list(first.priorities), first.HasField("overflow_after")) == ("a", [1], True)
    assert (second.worker, list(second.priorities), second.HasField("overflow_after")) == ("b", [0, 1, 2, 3], False)
    assert list(second.running_job_ids) == ["job_x"]


async def test_a_worker_is_drained_and_resumed_and_does_not_count_meanwhile(here):
    await here.announce(lanes=(LANE_GPU,))
    await here.operations.DrainWorker(DrainWorkerRequest(worker="w1"))
    assert await here.bus.controls.draining() == {"w1"}
    assert [worker.draining for worker in (await here.operations.ListWorkers(ListWorkersRequest())).workers] == [True]
    gpu, _ = (await here.operations.ListLanes(ListLanesRequest())).lanes
    assert (gpu.workers, gpu.slots) == (0, 0)
    await here.operations.ResumeWorker(ResumeWorkerRequest(worker="w1"))
    gpu, _ = (await here.operations.ListLanes(ListLanesRequest())).lanes
    assert (gpu.workers, gpu.slots, await here.bus.controls.draining()) == (1, 1, frozenset())


async def test_a_lane_shows_what_waits_and_runs_and_is_paused_and_resumed(here):
    await queued(here)
    running = await queued(here)
    await here.recorded(running.job_id, await here.say(running.job_id, JOB_STATE_RUNNING))
    paused = await here.operations.PauseLane(PauseLaneRequest(lane=LANE_GPU))
    assert (paused.waiting, paused.running, paused.paused) == (1, 1, True)
    assert paused.oldest_wait.ToMilliseconds() >= 0
    assert await here.bus.controls.paused() == {LANE_GPU}
    gpu, cpu = (await here.operations.ListLanes(ListLanesRequest())).lanes
    assert (gpu.paused, cpu.paused, cpu.waiting, cpu.HasField("oldest_wait")) == (True, False, 0, False)
    resumed = await here.operations.ResumeLane(ResumeLaneRequest(lane=LANE_GPU))
    assert (resumed.paused, await here.bus.controls.paused()) == (False, frozenset())


async def test_lanes_and_workers_are_served_on_rest(here):
    async with here.http.post(here.url("/v1/lanes/LANE_CPU:pause"), json={}) as answer:
        assert (answer.status, await answer.json()) == (200, {"lane": "LANE_CPU", "paused": True})
    async with here.http.post(here.url("/v1/lanes/LANE_UNSPECIFIED:pause"), json={}) as answer:
        assert answer.status == 400
    async with here.http.post(here.url("/v1/workers/rented-1:drain"), json={}) as answer:
        assert (answer.status, await answer.json()) == (200, {})
    assert await here.bus.controls.draining() == {"rented-1"}


# --- dead letters


async def test_a_letter_is_listed_shown_with_its_history_and_dropped(here):
    job, _ = await failed(here)
    (letter,) = (await here.operations.ListDeadLetters(ListDeadLettersRequest())).dead_letters
    assert (letter.job_id, letter.workspace_id, list(letter.history)) == (job.job_id, "default", [])
    shown = await here.operations.GetDeadLetter(GetDeadLetterRequest(number=letter.number))
    assert (shown.reason, list(shown.history)) == ("RUNNER_CRASHED: the runner died", ["attempt 1 failed"])
    async with here.http.get(here.url(f"/v1/deadLetters/{letter.number}")) as answer:
        assert (await answer.json())["jobId"] == job.job_id
    await here.operations.DropDeadLetter(DropDeadLetterRequest(number=letter.number))
    for gone in (
        here.operations.DropDeadLetter(DropDeadLetterRequest(number=letter.number)),
        here.operations.GetDeadLetter(GetDeadLetterRequest(number=letter.number)),
        here.operations.RedriveDeadLetter(RedriveDeadLetterRequest(number=letter.number)),
    ):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await gone
        assert code_of(caught.value) == "DEAD_LETTER_NOT_FOUND"
    assert (await here.jobs.GetJob(GetJobRequest(job_id=job.job_id))).state == JOB_STATE_FAILED


async def test_letters_come_in_pages(here):
    for number in range(3):
        await here.bus.dead_letters.bury(JobOrder(job_id=f"job_{number}"), "no")
    first = await here.operations.ListDeadLetters(ListDeadLettersRequest(page_size=2))
    rest = await here.operations.ListDeadLetters(ListDeadLettersRequest(page_token=first.next_page_token))
    assert [each.job_id for each in (*first.dead_letters, *rest.dead_letters)] == ["job_0", "job_1", "job_2"]
    assert rest.next_page_token == ""


async def test_a_redriven_letter_retries_its_job_and_is_gone(here):
    job, _ = await failed(here)
    (letter,) = await here.bus.dead_letters.list()
    again = await here.operations.RedriveDeadLetter(RedriveDeadLetterRequest(number=letter.number))
    assert (again.job_id, again.state) == (job.job_id, JOB_STATE_QUEUED)
    assert await here.bus.dead_letters.list() == []
    assert (await here.bus.jobs.pull([LANE_GPU], wait=5)).order.job_id == job.job_id


async def test_a_redriven_letter_of_a_job_that_never_ended_sends_its_order_once_more(here):
    job = await queued(here)
    delivery = await here.bus.jobs.pull([LANE_GPU], wait=1)
    await here.bus.dead_letters.bury(delivery.order, "the order cannot be read")
    await delivery.ack()
    (letter,) = await here.bus.dead_letters.list()
    await here.operations.RedriveDeadLetter(RedriveDeadLetterRequest(number=letter.number))
    assert (await here.bus.jobs.pull([LANE_GPU], wait=5)).order.job_id == job.job_id


async def test_a_letter_of_a_job_that_succeeded_is_not_redriven(here):
    job = await queued(here)
    await here.recorded(job.job_id, await here.say(job.job_id, JOB_STATE_SUCCEEDED))
    await here.bus.dead_letters.bury(JobOrder(job_id=job.job_id), "late")
    await here.bus.dead_letters.bury(JobOrder(job_id="unreadable"), "the order cannot be read")
    for letter in await here.bus.dead_letters.list():
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await here.operations.RedriveDeadLetter(RedriveDeadLetterRequest(number=letter.number))
        assert code_of(caught.value) == "DEAD_LETTER_UNUSABLE"
    assert len(await here.bus.dead_letters.list()) == 2


async def test_a_watcher_of_a_failed_job_sees_the_retry_when_it_asks_again(here):
    job, _ = await failed(here)
    ended = await states(here, job.job_id)
    assert ended[-1] == JOB_STATE_FAILED
    await here.jobs.RetryJob(RetryJobRequest(job_id=job.job_id))
    await here.relayed()
    stream = here.bus.events.read(job.job_id, after=job.last_event)
    async with aclosing(stream) as events, asyncio.timeout(5):
        assert (await anext(events)).status.state == JOB_STATE_QUEUED
