"""Creating jobs: what only the installation knows is checked here."""

from __future__ import annotations

import asyncio

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2

from framewire.errors import ErrorCode, Unavailable
from framewire.testing.bus import MemoryControls, MemoryWorkers
from framewire.v1.job_pb2 import (
    CONTAINER_WEBM,
    JOB_STATE_CANCELLED,
    VIDEO_CODEC_H264,
    CancelJobRequest,
    CreateJobRequest,
    ListJobsRequest,
    OutputSettings,
    WatchJobRequest,
)
from framewire.v1.step_pb2 import LANE_CPU, LANE_GPU, Enhance, GetStepRequest, ListStepsRequest, ModelInfo, Step
from framewire.work.v1.work_pb2 import WorkerStatus
from gateway.fleet import Fleet
from gateway.models import LiveModels

X2 = ModelInfo(name="enhance_x2", scale=2)


def info_of(error: grpc.aio.AioRpcError) -> error_details_pb2.ErrorInfo:
    status = status_pb2.Status.FromString(dict(error.trailing_metadata())["grpc-status-details-bin"])
    info = error_details_pb2.ErrorInfo()
    status.details[0].Unpack(info)
    return info


def a_request(asset_id: str, **fields: object) -> CreateJobRequest:
    return CreateJobRequest(**{"input_asset_ids": [asset_id], "steps": [Step(enhance=Enhance(scale=2))], **fields})


@pytest.mark.parametrize(
    ("enhance", "code"),
    [(Enhance(model="nope"), "MODEL_UNKNOWN"), (Enhance(scale=3), "STEP_INVALID"), (Enhance(scale=2), None)],
)
async def test_a_job_is_checked_against_the_models_that_are_served(here, enhance, code):
    await here.announce(X2)
    asset_id = (await here.upload()).asset_id
    create = here.jobs.CreateJob(a_request(asset_id, steps=[Step(enhance=enhance)]))
    if code is None:
        assert (await create).lane == LANE_GPU
        return
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await create
    assert info_of(caught.value).reason == code
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT


async def test_a_result_that_no_file_can_be_is_refused(here):
    await here.announce(X2)
    asset_id = (await here.upload()).asset_id
    webm = OutputSettings(codec=VIDEO_CODEC_H264, container=CONTAINER_WEBM)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await here.jobs.CreateJob(a_request(asset_id, output=webm))
    assert info_of(caught.value).reason == "STEP_INVALID"


async def test_a_job_waits_for_a_worker_while_none_lives_that_could_know_better(here):
    await here.announce(X2, lanes=(LANE_CPU,))
    asset_id = (await here.upload()).asset_id
    job = await here.jobs.CreateJob(a_request(asset_id, steps=[Step(enhance=Enhance(model="comes_later"))]))
    assert job.steps[0].enhance.model == "comes_later"


async def test_the_same_key_gives_the_same_job_even_when_the_model_is_gone(here):
    asset_id = (await here.upload()).asset_id
    request = a_request(asset_id, idempotency_key="k")
    job = await here.jobs.CreateJob(request)
    await here.announce(ModelInfo(name="another", scale=4))
    assert (await here.jobs.CreateJob(request)).job_id == job.job_id


async def test_fifty_creates_at_once_with_one_key_make_one_job(here):
    request = a_request((await here.upload()).asset_id, idempotency_key="k")
    made = await asyncio.gather(*(here.jobs.CreateJob(request) for _ in range(50)))
    assert len({job.job_id for job in made}) == 1
    assert len((await here.jobs.ListJobs(ListJobsRequest())).jobs) == 1


async def test_a_key_reused_for_another_request_is_refused(here):
    asset_id = (await here.upload()).asset_id
    await here.jobs.CreateJob(a_request(asset_id, idempotency_key="k"))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await here.jobs.CreateJob(a_request(asset_id, idempotency_key="k", priority=0))
    assert info_of(caught.value).reason == "IDEMPOTENCY_KEY_REUSED"
    assert caught.value.code() == grpc.StatusCode.ALREADY_EXISTS


@pytest.mark.parametrize(("given", "used"), [(None, 1), (0, 0), (3, 3)])
async def test_a_priority_that_is_not_given_is_one_and_zero_is_zero(here, given, used):
    asset_id = (await here.upload()).asset_id
    job = await here.jobs.CreateJob(a_request(asset_id, **({} if given is None else {"priority": given})))
    delivery = await here.bus.jobs.pull([LANE_GPU], wait=5)
    assert (job.priority, delivery.order.priority) == (used, used)


async def test_cancelling_a_queued_job_ends_it(here):
    job = await here.submit((await here.upload()).asset_id)
    answered = await here.jobs.CancelJob(CancelJobRequest(job_id=job.job_id))
    assert answered.cancel_requested
    events = [event async for event in here.jobs.WatchJob(WatchJobRequest(job_id=job.job_id))]
    assert events[-1].status.state == JOB_STATE_CANCELLED
    recorded = await here.recorded(job.job_id, events[-1].number)
    assert (recorded.state, recorded.cancel_requested) == (JOB_STATE_CANCELLED, False)


async def test_the_catalogue_shows_the_models_live_workers_serve(here):
    assert list((await here.steps.ListSteps(ListStepsRequest())).steps[0].models) == []
    models = LiveModels(Fleet(here.bus.workers, here.bus.controls))
    await here.announce(X2)
    assert await models.known() == [X2]
    info = await here.steps.GetStep(GetStepRequest(name="enhance"))
    assert info.parameters[0].rule == "1 to 4"


class CountedWorkers(MemoryWorkers):
    """Counts the questions and can be away."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = 0
        self.away = False

    async def live(self):
        self.asked += 1
        if self.away:
            raise Unavailable("no answer", code=ErrorCode.BUS_UNAVAILABLE)
        return await super().live()


async def test_many_who_ask_for_models_at_once_cost_one_question():
    workers = CountedWorkers()
    await workers.announce(WorkerStatus(worker="w", lanes=[LANE_GPU], models=[X2]))
    models = LiveModels(Fleet(workers, MemoryControls()))
    assert await asyncio.gather(*(models.known() for _ in range(20))) == [[X2]] * 20
    assert workers.asked == 1


async def test_a_missing_model_is_looked_for_again_before_it_is_refused():
    workers = CountedWorkers()
    models = LiveModels(Fleet(workers, MemoryControls()))
    assert await models.known() == []
    await workers.announce(WorkerStatus(worker="w", lanes=[LANE_GPU], models=[X2]))
    assert await models.in_lane(LANE_GPU, missing=[X2.name]) == [X2]
    assert await models.in_lane(LANE_CPU, missing=[]) == []


async def test_while_the_board_is_away_the_models_known_last_are_kept():
    workers = CountedWorkers()
    await workers.announce(WorkerStatus(worker="w", lanes=[LANE_GPU], models=[X2]))
    models = LiveModels(Fleet(workers, MemoryControls(), max_age=0.0))
    assert await models.known() == [X2]
    workers.away = True
    assert await models.known() == [X2]
