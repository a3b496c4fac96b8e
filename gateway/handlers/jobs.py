"""JobService."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime

from framewire.db.assets import AssetStore
from framewire.db.jobs import JobFilter, JobStore
from framewire.db.rows import timestamp
from framewire.jobs.ids import new_asset_id, new_job_id
from framewire.jobs.states import state_name
from framewire.steps import catalogue
from framewire.steps.cut_silence import check_cuts
from framewire.steps.output import check_output
from framewire.v1.job_pb2 import (
    CancelJobRequest,
    CreateJobRequest,
    GetJobRequest,
    Job,
    ListJobsRequest,
    ListJobsResponse,
    RetryJobRequest,
    WatchJobRequest,
)
from framewire.v1.step_pb2 import Step
from framewire.work.v1.work_pb2 import InputFile, JobOrder
from gateway.estimate import Estimator
from gateway.models import LiveModels
from gateway.pages import cut, page_limit, page_start, page_token
from gateway.pipeline import Call
from gateway.watch import Watch, Watcher

DEFAULT_PRIORITY = 1


class JobHandlers:
    """Create, look at, cancel, retry and watch jobs."""

    def __init__(
        self, jobs: JobStore, assets: AssetStore, models: LiveModels, watcher: Watcher, estimator: Estimator
    ) -> None:
        self._jobs = jobs
        self._assets = assets
        self._models = models
        self._watcher = watcher
        self._estimator = estimator

    async def create_job(self, call: Call, request: CreateJobRequest) -> Job:
        """Check what only the installation knows, then store the job and queue it."""
        key, fingerprint = request.idempotency_key, _fingerprint(request)
        if key and (made := await self._jobs.find_request(call.workspace_id, key, fingerprint)):
            return made
        check_output(request.output)
        check_cuts(request.steps)
        await self._check_models(request.steps)
        source = await self._assets.get(call.workspace_id, request.input_asset_ids[0])
        order = _order(call.workspace_id, request, source.asset.filename)
        return await self._jobs.create_job(order, idempotency_key=key, fingerprint=fingerprint)

    async def get_job(self, call: Call, request: GetJobRequest) -> Job:
        """One job."""
        job = await self._jobs.get(call.workspace_id, request.job_id)
        await self._estimator.fill([job])
        return job

    async def list_jobs(self, call: Call, request: ListJobsRequest) -> ListJobsResponse:
        """A page of jobs."""
        kind = _list_name(request)
        limit = page_limit(request.page_size)
        found = await self._jobs.list(
            call.workspace_id,
            limit=limit + 1,
            before=page_start(kind, request.page_token),
            wanted=_filter(request),
        )
        page, more = cut(found, limit)
        await self._estimator.fill(page)
        return ListJobsResponse(jobs=page, next_page_token=page_token(kind, page[-1].job_id) if more else "")

    async def cancel_job(self, call: Call, request: CancelJobRequest) -> Job:
        """Ask for a job to stop."""
        return await self._jobs.request_cancel(call.workspace_id, request.job_id)

    async def retry_job(self, call: Call, request: RetryJobRequest) -> Job:
        """Queue a failed job again."""
        return await self._jobs.retry(
            call.workspace_id, request.job_id, attempts=lambda order: catalogue.attempts_of(order.steps)
        )

    async def watch_job(self, call: Call, request: WatchJobRequest) -> Watch | None:
        """The job's events, those to come included."""
        return await self._watcher.watch(call.workspace_id, request.job_id, after=request.after_event)

    async def _check_models(self, steps: Sequence[Step]) -> None:
        wanted = catalogue.models_of(steps)
        served = await self._models.in_lane(catalogue.lane_of(steps), missing=wanted)
        catalogue.check_models(steps, served, refused=await self._models.refused())


def _filter(request: ListJobsRequest) -> JobFilter:
    return JobFilter(
        state=request.state or None,
        created_from=request.created_after.ToDatetime(UTC) if request.HasField("created_after") else None,
        created_before=request.created_before.ToDatetime(UTC) if request.HasField("created_before") else None,
    )


def _list_name(request: ListJobsRequest) -> str:
    """What a page token is made for: a token of one list does not continue another."""
    span = (request.created_after, request.created_before)
    times = "".join(f" {time.ToJsonString()}" if time.ByteSize() else " -" for time in span)
    return f"jobs {state_name(request.state)}{times}"


def _order(workspace_id: str, request: CreateJobRequest, source: str) -> JobOrder:
    return JobOrder(
        job_id=new_job_id(),
        workspace_id=workspace_id,
        inputs=[InputFile(asset_id=asset_id) for asset_id in request.input_asset_ids],
        steps=request.steps,
        output=request.output if request.HasField("output") else None,
        lane=catalogue.lane_of(request.steps),
        priority=request.priority if request.HasField("priority") else DEFAULT_PRIORITY,
        max_attempts=catalogue.attempts_of(request.steps),
        output_asset_id=new_asset_id(),
        output_filename=catalogue.result_filename(source, request.steps, request.output),
        create_time=timestamp(datetime.now(UTC)),
    )


def _fingerprint(request: CreateJobRequest) -> str:
    """What makes two requests with one idempotency key the same request: everything but the key."""
    plain = CreateJobRequest()
    plain.CopyFrom(request)
    plain.ClearField("idempotency_key")
    return hashlib.sha256(plain.SerializeToString(deterministic=True)).hexdigest()
