"""The gRPC server: generic handlers made from the descriptors, health, reflection."""

from __future__ import annotations

from collections.abc import Iterable

import grpc
from grpc_health.v1 import health_pb2_grpc
from grpc_health.v1.health import SERVICE_NAME as HEALTH_SERVICE
from grpc_health.v1.health import aio as health
from grpc_health.v1.health_pb2 import HealthCheckResponse
from grpc_reflection.v1alpha import reflection

from framewire.errors import ErrorCode, LocalError
from gateway.methods import SERVICES, Method, public_methods
from gateway.pipeline import Pipeline
from gateway.rpc.calls import method_handler

_OPTIONS = (
    ("grpc.max_send_message_length", 16 << 20),
    ("grpc.keepalive_time_ms", 30_000),  # finds watchers whose network is gone
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 10_000),
    ("grpc.so_reuseport", 0),  # two gateways on one port would share it unseen
)


class RpcServer:
    """start, then stop; `port` is the real one from start on."""

    def __init__(self, pipeline: Pipeline, address: str, *, largest_request: int = 1 << 20) -> None:
        self._largest = ("grpc.max_receive_message_length", largest_request)
        self._pipeline = pipeline
        self._address = address
        self._health = health.HealthServicer()
        self._server: grpc.aio.Server | None = None
        self.port = 0

    async def start(self) -> None:
        """Bind and serve. Raises LocalError (CONFIG_INVALID) when the address cannot be bound."""
        server = grpc.aio.server(options=(*_OPTIONS, self._largest))
        for name, methods in _by_service(public_methods()).items():
            handlers = {method.name: method_handler(self._pipeline, method) for method in methods}
            server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(name, handlers),))
        health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
        names = [service.full_name for service in SERVICES]
        reflection.enable_server_reflection([*names, HEALTH_SERVICE, reflection.SERVICE_NAME], server)
        self.port = self._bind(server)
        await server.start()
        self._server = server
        for name in ["", *names]:
            await self._health.set(name, HealthCheckResponse.SERVING)

    async def stop(self, grace: float) -> None:
        """Take no new calls, give those that run `grace` seconds, then cut them. Idempotent."""
        if self._server is not None:
            await self._health.enter_graceful_shutdown()
            await self._server.stop(grace)
            self._server = None

    def _bind(self, server: grpc.aio.Server) -> int:
        try:
            return server.add_insecure_port(self._address)
        except RuntimeError:
            raise LocalError(f"cannot listen on {self._address} for gRPC", code=ErrorCode.CONFIG_INVALID) from None


def _by_service(methods: Iterable[Method]) -> dict[str, list[Method]]:
    services: dict[str, list[Method]] = {}
    for method in methods:
        services.setdefault(method.service, []).append(method)
    return services
