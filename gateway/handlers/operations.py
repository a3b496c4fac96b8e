"""OperationsService: for whoever runs the installation, over all workspaces."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

from google.protobuf.empty_pb2 import Empty

from framewire.bus.interface import Controls
from framewire.db.waiting import QueueView
from framewire.v1.job_pb2 import Job
from framewire.v1.operations_pb2 import (
    DeadLetter,
    DrainWorkerRequest,
    DropDeadLetterRequest,
    GetDeadLetterRequest,
    LaneStatus,
    ListDeadLettersRequest,
    ListDeadLettersResponse,
    ListLanesRequest,
    ListLanesResponse,
    ListWorkersRequest,
    ListWorkersResponse,
    LoadModelRequest,
    PauseLaneRequest,
    RedriveDeadLetterRequest,
    ResumeLaneRequest,
    ResumeWorkerRequest,
    UnloadModelRequest,
    Worker,
)
from framewire.v1.step_pb2 import LANE_CPU, LANE_GPU, Lane
from framewire.work.v1.work_pb2 import WorkerStatus
from gateway.dead import DeadLetterOffice
from gateway.estimate import duration
from gateway.fleet import Fleet
from gateway.pages import cut, page_limit, page_start, page_token
from gateway.pipeline import Call

_PRIORITIES = (0, 1, 2, 3)
_LETTERS = "deadLetters"


class OperationsHandlers:
    """Workers, lanes and dead letters."""

    def __init__(self, fleet: Fleet, controls: Controls, queue: QueueView, dead: DeadLetterOffice) -> None:
        self._fleet = fleet
        self._controls = controls
        self._queue = queue
        self._dead = dead

    async def list_workers(self, call: Call, request: ListWorkersRequest) -> ListWorkersResponse:
        """The workers that live."""
        live = await self._fleet.live(max_age=0.0)
        return ListWorkersResponse(workers=[self._worker(status) for status in live])

    async def drain_worker(self, call: Call, request: DrainWorkerRequest) -> Empty:
        """Nothing new for a worker."""
        return await self._control(self._controls.drain, request.worker)

    async def resume_worker(self, call: Call, request: ResumeWorkerRequest) -> Empty:
        """Jobs for a worker again."""
        return await self._control(self._controls.undrain, request.worker)

    async def list_lanes(self, call: Call, request: ListLanesRequest) -> ListLanesResponse:
        """Both lanes."""
        await self._fleet.refresh(max_age=0.0)
        return ListLanesResponse(lanes=[await self._lane(lane) for lane in (LANE_GPU, LANE_CPU)])

    async def pause_lane(self, call: Call, request: PauseLaneRequest) -> LaneStatus:
        """No new jobs of a lane."""
        await self._control(self._controls.pause, request.lane)
        return await self._lane(request.lane)

    async def resume_lane(self, call: Call, request: ResumeLaneRequest) -> LaneStatus:
        """Jobs of a lane again."""
        await self._control(self._controls.resume, request.lane)
        return await self._lane(request.lane)

    async def load_model(self, call: Call, request: LoadModelRequest) -> Empty:
        """A model shall stay loaded."""
        return await self._wish(self._controls.pin, request.model)

    async def unload_model(self, call: Call, request: UnloadModelRequest) -> Empty:
        """A model need not stay."""
        return await self._wish(self._controls.unpin, request.model)

    async def list_dead_letters(self, call: Call, request: ListDeadLettersRequest) -> ListDeadLettersResponse:
        """A page of letters."""
        limit = page_limit(request.page_size)
        found = await self._dead.list(after=page_start(_LETTERS, request.page_token), limit=limit + 1)
        page, more = cut(found, limit)
        token = page_token(_LETTERS, str(page[-1].number)) if more else ""
        return ListDeadLettersResponse(dead_letters=page, next_page_token=token)

    async def get_dead_letter(self, call: Call, request: GetDeadLetterRequest) -> DeadLetter:
        """One letter."""
        return await self._dead.get(request.number)

    async def redrive_dead_letter(self, call: Call, request: RedriveDeadLetterRequest) -> Job:
        """A letter's job again."""
        return await self._dead.redrive(request.number)

    async def drop_dead_letter(self, call: Call, request: DropDeadLetterRequest) -> Empty:
        """Forget a letter."""
        await self._dead.drop(request.number)
        return Empty()

    async def _control(self, ask: Callable[..., Awaitable[None]], subject: object) -> Empty:
        await ask(subject)
        await self._fleet.refresh(max_age=0.0)
        return Empty()

    async def _wish(self, ask: Callable[[str], Awaitable[None]], model: str) -> Empty:
        """The workers see to it. They are asked without a look at what they announce: a model may have just come."""
        await ask(model)
        return Empty()

    def _worker(self, status: WorkerStatus) -> Worker:
        worker = Worker(
            worker=status.worker,
            lanes=status.lanes,
            priorities=status.priorities or _PRIORITIES,
            slots=status.slots,
            running_job_ids=status.running_job_ids,
            models=status.models,
            draining=self._fleet.is_draining(status),
            time=status.time if status.HasField("time") else None,
            model_memory=status.model_memory if status.HasField("model_memory") else None,
            warm_runners=status.warm_runners,
        )
        if status.HasField("overflow_after"):
            worker.overflow_after = status.overflow_after
        return worker

    async def _lane(self, lane: Lane.ValueType) -> LaneStatus:
        view = await self._queue.lane(Lane.Name(lane).removeprefix("LANE_").lower())
        waited = (datetime.now(UTC) - view.oldest).total_seconds() if view.oldest else None
        return LaneStatus(
            lane=lane,
            waiting=view.waiting,
            running=view.running,
            oldest_wait=None if waited is None else duration(waited),
            paused=self._fleet.is_paused(lane),
            workers=len(self._fleet.taking(lane)),
            slots=self._fleet.slots(lane),
        )
