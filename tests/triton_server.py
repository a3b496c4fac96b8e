"""A real Triton for tests: the one the local stack runs, on a free port, with its own keys and names in /dev/shm."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from servers import free_port, running

from framewire.stack import triton

BUILT_IN_MODELS = Path(__file__).resolve().parent.parent / "triton_models"
BICUBIC = "upscale_bicubic_x2"
"""The built-in model that costs the least."""


@dataclass(frozen=True)
class RunningTriton:
    """Where it is, and what opens its restricted protocols."""

    url: str
    key: str
    pid: int
    shm_prefix: str


@contextlib.contextmanager
def start_triton(
    folder: Path,
    models: Path = BUILT_IN_MODELS,
    *,
    more_models: Sequence[Path] = (),
    load: Sequence[str] = ("*",),
    port: int | None = None,
) -> Iterator[RunningTriton]:
    """Runs inside the block, with the models of `load` loaded; afterwards no process and no shared memory is left."""
    server = triton.find_tritonserver()
    port, key, prefix = port or free_port(), secrets.token_hex(16), f"framewire_test_{secrets.token_hex(4)}_"
    argv, env = triton.command(
        server,
        models=models,
        more_models=more_models,
        load=load,
        backends=triton.prepare_backends(server, folder / "backends"),
        port=port,
        key=key,
        shm_prefix=prefix,
        path=os.environ.get("PATH", os.defpath),
    )
    url = f"127.0.0.1:{port}"
    try:
        with running(argv, ready=lambda: serves(url), log=folder / "triton.log", env={**os.environ, **env}) as process:
            yield RunningTriton(url, key, process.pid, prefix)
    finally:
        triton.sweep_shared_memory(prefix)


def serves(url: str) -> bool:
    """Whether a server says that all its models are ready."""
    with grpc.insecure_channel(url) as channel:
        try:
            answer = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=2)
        except grpc.RpcError:
            return False
    return answer.status == health_pb2.HealthCheckResponse.SERVING
