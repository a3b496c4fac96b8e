"""A gateway of a few lines and an object store of a few more, both real servers on free ports."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import grpc
import pytest
from aiohttp import web
from google.protobuf import any_pb2
from google.rpc import error_details_pb2, status_pb2

from framewire.client import Client, ClientSettings
from framewire.client.watch import Patience
from framewire.v1 import asset_pb2, asset_pb2_grpc, job_pb2, job_pb2_grpc


async def abort(context: grpc.aio.ServicerContext[Any, Any], status: grpc.StatusCode, code: str, message: str) -> None:
    """Answer with a typed error, as the gateway does."""
    details = [any_pb2.Any(), any_pb2.Any()]
    details[0].Pack(error_details_pb2.ErrorInfo(reason=code, domain="framewire", metadata={"retryable": "false"}))
    blamed = error_details_pb2.BadRequest.FieldViolation(field="steps[0].enhance.scale", description="must be >= 1")
    details[1].Pack(error_details_pb2.BadRequest(field_violations=[blamed]))
    packed = status_pb2.Status(code=status.value[0], message=message, details=details)
    context.set_trailing_metadata((("grpc-status-details-bin", packed.SerializeToString()),))
    await context.abort(status, message)


@dataclass
class Store:
    """Objects over HTTP; fails the first `failures` requests, and damages downloads when told to."""

    url: str = ""
    objects: dict[str, bytes] = field(default_factory=dict)
    failures: int = 0
    damage: Callable[[bytes], bytes] = lambda content: content
    requests: int = 0
    hold: asyncio.Event | None = None
    """Answers only when it is set."""

    async def handle(self, request: web.Request) -> web.Response:
        self.requests += 1
        if self.hold:
            await self.hold.wait()
        if self.failures:
            self.failures -= 1
            return web.Response(status=503)
        if request.method == "PUT":
            assert request.content_length is not None, "signed uploads need a length, chunks are refused"
            self.objects[request.path] = await request.read()
            return web.Response()
        return web.Response(body=self.damage(self.objects[request.path]))


@dataclass
class Gateway(asset_pb2_grpc.AssetServiceServicer, job_pb2_grpc.JobServiceServicer):
    """Answers as it is told to."""

    store: Store
    address: str = ""
    assets: dict[str, asset_pb2.Asset] = field(default_factory=dict)
    events: list[job_pb2.Event] = field(default_factory=list)
    watched_after: list[int] = field(default_factory=list)
    break_after: int = 1_000_000
    job: job_pb2.Job = field(default_factory=job_pb2.Job)
    accepts: bool = False
    """Whether a job is created, which is `job`; else it is refused."""
    cancelled: list[str] = field(default_factory=list)
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when a job is to be created."""
    hold: asyncio.Event | None = None
    """A job is created only when it is set."""

    async def CreateUpload(self, request, context):  # type: ignore[no-untyped-def]  # noqa: N802 - gRPC's names
        asset = asset_pb2.Asset(
            asset_id="ast_1", filename=request.filename, size_bytes=request.size_bytes, sha256=request.sha256
        )
        self.assets[asset.asset_id] = asset
        signed = asset_pb2.SignedUrl(url=f"{self.store.url}/ast_1?signature=secret", method="PUT")
        return asset_pb2.CreateUploadResponse(asset=asset, upload=signed)

    async def CompleteUpload(self, request, context):  # type: ignore[no-untyped-def]  # noqa: N802 - gRPC's names
        content = self.store.objects["/ast_1"]
        asset = self.assets[request.asset_id]
        if hashlib.sha256(content).hexdigest() != asset.sha256:
            await abort(context, grpc.StatusCode.FAILED_PRECONDITION, "UPLOAD_HASH_MISMATCH", "other bytes arrived")
        asset.state = asset_pb2.ASSET_STATE_READY
        return asset

    async def GetAsset(self, request, context):  # type: ignore[no-untyped-def]  # noqa: N802 - gRPC's names
        return self.assets[request.asset_id]

    async def CreateDownloadUrl(self, request, context):  # type: ignore[no-untyped-def]  # noqa: N802 - gRPC's names
        signed = asset_pb2.SignedUrl(url=f"{self.store.url}/{request.asset_id}?signature=secret", method="GET")
        return asset_pb2.CreateDownloadUrlResponse(download=signed)

    async def GetJob(self, request, context):  # type: ignore[no-untyped-def]  # noqa: N802 - gRPC's names
        if request.job_id != "job_1":
            await abort(context, grpc.StatusCode.NOT_FOUND, "JOB_NOT_FOUND", "no such job")
        return self.job

    async def CancelJob(self, request, context):  # type: ignore[no-untyped-def]  # noqa: N802 - gRPC's names
        self.cancelled.append(request.job_id)
        return self.job

    async def ListJobs(self, request, context):  # type: ignore[no-untyped-def]  # noqa: N802 - gRPC's names
        return job_pb2.ListJobsResponse(jobs=[self.job])

    async def CreateJob(self, request, context):  # type: ignore[no-untyped-def]  # noqa: N802 - gRPC's names
        self.asked.set()
        if self.hold:
            await self.hold.wait()
        if not self.accepts:
            message = "steps[0].enhance.scale: must be >= 1"
            await abort(context, grpc.StatusCode.INVALID_ARGUMENT, "INVALID_ARGUMENT", message)
        return self.job

    async def WatchJob(self, request, context):  # type: ignore[no-untyped-def]  # noqa: N802 - gRPC's names
        self.watched_after.append(request.after_event)
        for sent, event in enumerate(event for event in self.events if event.number > request.after_event):
            if sent == self.break_after:
                await context.abort(grpc.StatusCode.UNAVAILABLE, "going away")
            yield event


@pytest.fixture
async def store() -> AsyncIterator[Store]:
    made = Store()
    application = web.Application(client_max_size=1 << 30)
    application.router.add_route("*", "/{key}", made.handle)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield made
    await runner.cleanup()


@pytest.fixture
async def gateway(store: Store) -> AsyncIterator[Gateway]:
    made = Gateway(store)
    server = grpc.aio.server()
    asset_pb2_grpc.add_AssetServiceServicer_to_server(made, server)
    job_pb2_grpc.add_JobServiceServicer_to_server(made, server)
    made.address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    await server.start()
    yield made
    await server.stop(None)


@pytest.fixture
async def client(gateway: Gateway) -> AsyncIterator[Client]:
    patience = Patience(first=0.01, most=0.02, total=5.0)
    async with Client(gateway.address, ClientSettings(patience=patience)) as connected:
        yield connected
