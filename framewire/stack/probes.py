"""How to see from outside that a server is ready. A probe is asked again and again until it says yes."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from typing import Protocol

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from framewire.stack.ports import HOST

ANSWER_TIMEOUT = 2.0


class Probe(Protocol):
    """Whether a server is ready, answered within ANSWER_TIMEOUT seconds."""

    async def ready(self) -> bool:
        """Ask once. Never raises but on cancellation."""


async def _first_line(port: int, request: bytes) -> bytes:
    """The first line a server on `port` says after `request`; empty when it does not."""
    with contextlib.suppress(OSError, TimeoutError, ValueError):
        async with asyncio.timeout(ANSWER_TIMEOUT):
            reader, writer = await asyncio.open_connection(HOST, port)
            try:
                writer.write(request)
                return await reader.readline()
            finally:
                writer.close()
    return b""


@dataclass(frozen=True, slots=True, kw_only=True)
class NatsProbe:
    """A NATS server is ready when its own health check says that JetStream can read and write every stream.

    A disk that was full for a moment leaves streams that refuse every message until the server is started anew,
    while it goes on greeting clients: only the health check, which its monitoring port answers, tells.
    """

    port: int
    """The monitoring port."""

    async def ready(self) -> bool:
        """Ask once."""
        line = await _first_line(self.port, b"GET /healthz HTTP/1.0\r\n\r\n")
        return line.startswith(b"HTTP/1.") and line.split()[1:2] == [b"200"]


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpProbe:
    """An HTTP server is ready when it answers anything at all: a refusal for want of a signature is an answer."""

    port: int

    async def ready(self) -> bool:
        """Ask once."""
        return (await _first_line(self.port, b"GET / HTTP/1.0\r\n\r\n")).startswith(b"HTTP/1.")


@dataclass(frozen=True, slots=True, kw_only=True)
class GrpcHealthProbe:
    """A server with the standard gRPC health service, Triton among them, is ready when it says SERVING."""

    port: int

    async def ready(self) -> bool:
        """Ask once."""
        options = [("grpc.enable_http_proxy", 0)]
        async with grpc.aio.insecure_channel(f"{HOST}:{self.port}", options=options) as channel:
            try:
                answer = await health_pb2_grpc.HealthStub(channel).Check(
                    health_pb2.HealthCheckRequest(), timeout=ANSWER_TIMEOUT
                )
            except grpc.aio.AioRpcError:
                return False
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)
