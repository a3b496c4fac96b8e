"""The client: one channel, one method per call of the API, and the transfers around them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import TypeVar

import grpc

from framewire.client.errors import typed_errors
from framewire.client.operations import Operations
from framewire.client.parts import PartSender
from framewire.client.transfer import Advance, get_file, nobody, put_file, sha256_of, shown_name
from framewire.client.watch import Patience, watch
from framewire.errors import ErrorCode, FramewireError, InvalidRequest, LocalError, Unavailable
from framewire.jobs.states import TERMINAL
from framewire.v1 import asset_pb2, asset_pb2_grpc, job_pb2, job_pb2_grpc, step_pb2, step_pb2_grpc
from framewire.v1.asset_pb2 import ASSET_STATE_READY, Asset, SignedUrl, SignUploadPartsResponse
from framewire.v1.job_pb2 import JOB_STATE_UNSPECIFIED, EstimateJobResponse, Event, Job, JobState, OutputSettings
from framewire.v1.step_pb2 import Step, StepInfo

_Answer = TypeVar("_Answer")


_RECONNECTION = [("grpc.initial_reconnect_backoff_ms", 200), ("grpc.max_reconnect_backoff_ms", 2000)]
"""The channel looks for a gateway that is away at least every 2 s; by itself it would wait up to 2 minutes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientSettings:
    """Bounds of a client's waiting, in seconds."""

    call_timeout: float = 15.0
    """One unary call."""
    complete_timeout: float = 120.0
    """CompleteUpload, which reads the whole upload."""
    estimate_timeout: float = 600.0
    """EstimateJob, which fetches the input and reads all of it."""
    stream_timeout: float = 120.0
    """One watch stream; after that it is opened again, so that a connection that died silently is noticed."""
    record_timeout: float = 30.0
    """The record of an event that a stream has shown."""
    transfer_tries: int = 3
    """Times a transfer to or from the object store is tried."""
    patience: Patience = field(default_factory=Patience)


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """A file that is announced to the server and not sent yet."""

    path: Path
    asset: Asset
    signed: SignedUrl
    in_parts: bool = False
    """The server wants it in parts."""


class Client:
    """A connection to one gateway. Every method raises FramewireError with the server's own code and message."""

    def __init__(self, server: str, settings: ClientSettings | None = None) -> None:
        self.server = server
        self._settings = settings or ClientSettings()
        # a loopback address is not to be reached through a proxy
        local = server.startswith(("127.", "localhost:", "[::1]:"))
        options = [("grpc.enable_http_proxy", 0)] if local else []
        self._channel = grpc.aio.insecure_channel(server, options=[*options, *_RECONNECTION])
        self._assets = asset_pb2_grpc.AssetServiceStub(self._channel)
        self._jobs = job_pb2_grpc.JobServiceStub(self._channel)
        self._steps = step_pb2_grpc.StepServiceStub(self._channel)
        self.operations = Operations(self._channel, server, self._settings.call_timeout)

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Disconnect. Idempotent."""
        await self._channel.close()

    async def upload(self, path: Path, *, filename: str = "", advance: Advance = nobody) -> Asset:
        """Upload a file and wait until its bytes are checked. Memory does not grow with the file.

        Raises LocalError (FILE_NOT_FOUND) and what the server says of the upload.
        """
        return await self.send(await self.announce(path, filename=filename), advance=advance)

    async def announce(self, path: Path, *, filename: str = "") -> Upload:
        """Declare an upload without sending a byte of it: a job can be created that waits for it. `send` follows.

        Raises LocalError (FILE_NOT_FOUND) and what the server says of the upload.
        """
        size, sha256 = await _describe(path)
        request = asset_pb2.CreateUploadRequest(filename=filename or shown_name(path), size_bytes=size, sha256=sha256)
        created = await self._call(self._assets.CreateUpload(request, timeout=self._settings.call_timeout))
        in_parts = created.HasField("multipart")
        return Upload(path=path, asset=created.asset, signed=created.upload, in_parts=in_parts)

    async def send(self, upload: Upload, *, advance: Advance = nobody) -> Asset:
        """Send what was announced and wait until its bytes are checked; jobs that waited for it are queued then.

        Nothing is sent when the server has these bytes already. A large file that breaks off goes on where it was.
        """
        size = upload.asset.size_bytes
        if upload.asset.state == ASSET_STATE_READY:
            advance(size, size)
            return upload.asset
        if upload.in_parts:
            parts = PartSender(upload.path, size, lambda: self._sign_parts(upload.asset.asset_id), advance)
            await self._go_on(parts)
        else:
            await self._again(lambda: put_file(upload.signed, upload.path, size, advance))
        complete = asset_pb2.CompleteUploadRequest(asset_id=upload.asset.asset_id)
        return await self._call(self._assets.CompleteUpload(complete, timeout=self._settings.complete_timeout))

    async def _sign_parts(self, asset_id: str) -> SignUploadPartsResponse:
        request = asset_pb2.SignUploadPartsRequest(asset_id=asset_id)
        return await self._call(self._assets.SignUploadParts(request, timeout=self._settings.call_timeout))

    async def delete_asset(self, asset_id: str) -> None:
        """Delete an asset and its bytes. Raises Conflict (ASSET_IN_USE) while a job that has not ended needs it."""
        request = asset_pb2.DeleteAssetRequest(asset_id=asset_id)
        await self._call(self._assets.DeleteAsset(request, timeout=self._settings.call_timeout))

    async def download(self, asset_id: str, path: Path, *, advance: Advance = nobody) -> Asset:
        """Download an asset. It appears at `path` complete and with the right hash, or not at all."""
        asset = await self.get_asset(asset_id)
        request = asset_pb2.CreateDownloadUrlRequest(asset_id=asset_id)
        answer = await self._call(self._assets.CreateDownloadUrl(request, timeout=self._settings.call_timeout))
        size, sha256 = asset.size_bytes, asset.sha256
        await self._again(lambda: get_file(answer.download, path, size=size, sha256=sha256, advance=advance))
        return asset

    async def get_asset(self, asset_id: str) -> Asset:
        """One asset."""
        request = asset_pb2.GetAssetRequest(asset_id=asset_id)
        return await self._call(self._assets.GetAsset(request, timeout=self._settings.call_timeout))

    async def create_job(
        self,
        input_asset_ids: Sequence[str],
        steps: Sequence[Step],
        *,
        output: OutputSettings | None = None,
        priority: int | None = None,
        idempotency_key: str = "",
    ) -> Job:
        """Create a job, which waits while its input is only announced. The same idempotency key means the same job."""
        request = job_pb2.CreateJobRequest(
            input_asset_ids=input_asset_ids,
            steps=steps,
            output=output,
            priority=priority,
            idempotency_key=idempotency_key,
        )
        return await self._call(self._jobs.CreateJob(request, timeout=self._settings.call_timeout))

    async def estimate_job(
        self,
        input_asset_ids: Sequence[str],
        steps: Sequence[Step],
        *,
        output: OutputSettings | None = None,
        picture: bool = True,
    ) -> EstimateJobResponse:
        """What a job would make, without making it; without `picture` nothing is drawn."""
        size = None if picture else 0
        request = job_pb2.EstimateJobRequest(
            input_asset_ids=input_asset_ids, steps=steps, output=output, picture_width=size, picture_height=size
        )
        return await self._call(self._jobs.EstimateJob(request, timeout=self._settings.estimate_timeout))

    async def get_job(self, job_id: str) -> Job:
        """One job."""
        request = job_pb2.GetJobRequest(job_id=job_id)
        return await self._call(self._jobs.GetJob(request, timeout=self._settings.call_timeout))

    async def get_recorded(self, job_id: str, number: int) -> Job:
        """The job once its record holds event `number`, which a stream may show a moment earlier.

        Raises Unavailable (DEADLINE_EXCEEDED) when that takes longer than `record_timeout`.
        """
        deadline = time.monotonic() + self._settings.record_timeout
        while (job := await self.get_job(job_id)).last_event < number:
            if time.monotonic() > deadline:
                message = f"{self.server} has not recorded the end of {job_id} yet; ask for it again later"
                raise Unavailable(message, code=ErrorCode.DEADLINE_EXCEEDED)
            await asyncio.sleep(self._settings.patience.first / 4)
        return job

    async def list_jobs(
        self,
        *,
        limit: int = 50,
        state: JobState.ValueType = JOB_STATE_UNSPECIFIED,
        created_after: datetime | None = None,
        created_before: datetime | None = None,
    ) -> list[Job]:
        """The newest jobs, `limit` at most; of one state, created in a span of (aware) time, when asked for."""
        jobs: list[Job] = []
        request = job_pb2.ListJobsRequest(state=state)
        if created_after is not None:
            request.created_after.FromDatetime(created_after)
        if created_before is not None:
            request.created_before.FromDatetime(created_before)
        while len(jobs) < limit:
            request.page_size = min(200, limit - len(jobs))
            page = await self._call(self._jobs.ListJobs(request, timeout=self._settings.call_timeout))
            jobs += page.jobs
            request.page_token = page.next_page_token
            if not request.page_token:
                break
        return jobs[:limit]

    async def cancel_job(self, job_id: str) -> Job:
        """Ask for a job to stop. A job that has ended stays as it ended."""
        request = job_pb2.CancelJobRequest(job_id=job_id)
        return await self._call(self._jobs.CancelJob(request, timeout=self._settings.call_timeout))

    async def retry_job(self, job_id: str) -> Job:
        """Queue a FAILED job again."""
        request = job_pb2.RetryJobRequest(job_id=job_id)
        return await self._call(self._jobs.RetryJob(request, timeout=self._settings.call_timeout))

    async def steps(self) -> Sequence[StepInfo]:
        """The catalogue."""
        request = step_pb2.ListStepsRequest()
        answer = await self._call(self._steps.ListSteps(request, timeout=self._settings.call_timeout))
        return answer.steps

    def watch(self, job_id: str, *, after: int = 0) -> AsyncIterator[Event]:
        """The job's events with numbers above `after`, those to come included; ends after the one that ends the job.

        Each once and in order, also when the gateway goes away and comes back meanwhile.
        """
        return watch(_JobStream(self, job_id), after, self._settings.patience)

    async def stream(self, job_id: str, *, after: int) -> AsyncIterator[Event]:
        """One WatchJob stream, which may end or break at any time; `watch` is what you want."""
        request = job_pb2.WatchJobRequest(job_id=job_id, after_event=after)
        call = self._jobs.WatchJob(request, timeout=self._settings.stream_timeout)
        with typed_errors(self.server):
            try:
                async for event in call:
                    yield event
            finally:
                call.cancel()

    async def _call(self, call: Awaitable[_Answer]) -> _Answer:
        with typed_errors(self.server):
            return await call

    async def _go_on(self, parts: PartSender) -> None:
        """Send parts until all are there. Tries count anew with every part that has arrived."""
        while True:
            before = parts.stored
            try:
                return await self._again(parts.send)
            except FramewireError as error:
                if not error.retryable or parts.stored <= before:
                    raise

    async def _again(self, transfer: Callable[[], Awaitable[None]]) -> None:
        """Try a transfer some times, as long as trying again can help."""
        delay = self._settings.patience.first
        for _ in range(self._settings.transfer_tries - 1):
            try:
                return await transfer()
            except FramewireError as error:
                if not error.retryable:
                    raise
            await asyncio.sleep(delay)
            delay *= 2
        return await transfer()


@dataclass(frozen=True, slots=True)
class _JobStream:
    """The events of one job as `watch` reads them."""

    client: Client
    job_id: str

    def open(self, after: int) -> AsyncIterator[Event]:
        return self.client.stream(self.job_id, after=after)

    async def ended(self, after: int) -> bool:
        job = await self.client.get_job(self.job_id)
        return job.state in TERMINAL and job.last_event <= after


async def _describe(path: Path) -> tuple[int, str]:
    """Size and hash of a file that is to be uploaded."""
    try:
        size, sha256 = await asyncio.to_thread(sha256_of, path)
    except OSError as error:
        raise LocalError(f"cannot read {path}: {error.strerror or error}", code=ErrorCode.FILE_NOT_FOUND) from error
    if size == 0:
        raise InvalidRequest(f"{path} is empty")
    return size, sha256
