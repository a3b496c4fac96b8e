"""What whoever runs the installation may ask of it: workers, lanes, dead letters."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from typing import TypeVar

import grpc

from framewire.client.errors import typed_errors
from framewire.v1 import operations_pb2, operations_pb2_grpc
from framewire.v1.job_pb2 import Job
from framewire.v1.operations_pb2 import DeadLetter, LaneStatus, Worker
from framewire.v1.step_pb2 import Lane

_Answer = TypeVar("_Answer")


class Operations:
    """OperationsService. Every method raises FramewireError with the server's own code and message."""

    def __init__(self, channel: grpc.aio.Channel, server: str, timeout: float) -> None:
        self._stub = operations_pb2_grpc.OperationsServiceStub(channel)
        self._server = server
        self._timeout = timeout

    async def workers(self) -> Sequence[Worker]:
        """The workers that live, by name."""
        answer = await self._call(self._stub.ListWorkers(operations_pb2.ListWorkersRequest(), timeout=self._timeout))
        return answer.workers

    async def drain(self, worker: str) -> None:
        """A worker finishes what it runs and takes nothing new."""
        request = operations_pb2.DrainWorkerRequest(worker=worker)
        await self._call(self._stub.DrainWorker(request, timeout=self._timeout))

    async def resume_worker(self, worker: str) -> None:
        """A drained worker takes jobs again."""
        request = operations_pb2.ResumeWorkerRequest(worker=worker)
        await self._call(self._stub.ResumeWorker(request, timeout=self._timeout))

    async def lanes(self) -> Sequence[LaneStatus]:
        """Every lane."""
        answer = await self._call(self._stub.ListLanes(operations_pb2.ListLanesRequest(), timeout=self._timeout))
        return answer.lanes

    async def pause(self, lane: Lane.ValueType) -> LaneStatus:
        """No worker takes a job of this lane until it is resumed."""
        return await self._call(self._stub.PauseLane(operations_pb2.PauseLaneRequest(lane=lane), timeout=self._timeout))

    async def resume(self, lane: Lane.ValueType) -> LaneStatus:
        """Workers take the lane's jobs again."""
        return await self._call(
            self._stub.ResumeLane(operations_pb2.ResumeLaneRequest(lane=lane), timeout=self._timeout)
        )

    async def load_model(self, model: str) -> None:
        """A model is loaded, anew when its files have changed, and stays so."""
        await self._call(self._stub.LoadModel(operations_pb2.LoadModelRequest(model=model), timeout=self._timeout))

    async def unload_model(self, model: str) -> None:
        """A model is unloaded as soon as no job uses it."""
        await self._call(self._stub.UnloadModel(operations_pb2.UnloadModelRequest(model=model), timeout=self._timeout))

    async def dead_letters(self, *, limit: int = 50) -> list[DeadLetter]:
        """The oldest letters, `limit` at most, without their histories."""
        letters: list[DeadLetter] = []
        request = operations_pb2.ListDeadLettersRequest()
        while len(letters) < limit:
            request.page_size = min(200, limit - len(letters))
            page = await self._call(self._stub.ListDeadLetters(request, timeout=self._timeout))
            letters += page.dead_letters
            request.page_token = page.next_page_token
            if not request.page_token:
                break
        return letters

    async def dead_letter(self, number: int) -> DeadLetter:
        """One letter, with its history."""
        request = operations_pb2.GetDeadLetterRequest(number=number)
        return await self._call(self._stub.GetDeadLetter(request, timeout=self._timeout))

    async def redrive(self, number: int) -> Job:
        """Queue a letter's job again and drop the letter."""
        request = operations_pb2.RedriveDeadLetterRequest(number=number)
        return await self._call(self._stub.RedriveDeadLetter(request, timeout=self._timeout))

    async def drop(self, number: int) -> None:
        """Forget a letter."""
        request = operations_pb2.DropDeadLetterRequest(number=number)
        await self._call(self._stub.DropDeadLetter(request, timeout=self._timeout))

    async def _call(self, call: Awaitable[_Answer]) -> _Answer:
        with typed_errors(self._server):
            return await call
