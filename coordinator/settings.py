"""Settings of the worker and its runners: a frozen record per component, and the variables they come from."""

from __future__ import annotations

import re
import socket
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from coordinator.sandbox import Mode
from framewire.environment import Environment
from framewire.errors import LocalError
from framewire.v1.step_pb2 import LANE_CPU, LANE_GPU, Lane
from framewire.work.v1.work_pb2 import InferenceAddress

PRIORITIES: Final = (0, 1, 2, 3)
_LANES: dict[str, Lane.ValueType] = {"gpu": LANE_GPU, "cpu": LANE_CPU}


@dataclass(frozen=True, slots=True, kw_only=True)
class RunnerSettings:
    """How runners, the child processes that execute one job each, are started and watched."""

    command: tuple[str, ...] = (sys.executable, "-m", "coordinator.runner")
    """Program and arguments."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Its whole environment: no address and no credential of NATS or the object store is in it."""
    silence: float = 60.0
    """Seconds without a report after which a runner is taken for stuck and killed."""
    grace: float = 1.5
    """Seconds between SIGTERM and SIGKILL."""
    refill_delay: float = 0.5
    """Seconds from the moment a runner is lent until the next is started ahead."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSettings:
    """What a worker takes on and how long it waits for what."""

    name: str
    """Unique among the workers that live; shown to clients."""
    lanes: tuple[Lane.ValueType, ...] = (LANE_GPU, LANE_CPU)
    priorities: tuple[int, ...] = PRIORITIES
    """Priorities whose jobs it takes, 0 the highest."""
    overflow_after: int | None = None
    """Takes a job only while more than this many wait in its lane; None: whenever a slot is free."""
    slots: int = 3
    """Jobs it runs at once."""
    scratch: Path = field(default_factory=lambda: Path(tempfile.gettempdir()) / "framewire-scratch")
    """Folder for inputs and results of running jobs; several workers may share it."""
    inference: InferenceAddress = field(default_factory=InferenceAddress, repr=False)
    """Handed to runners."""
    model_memory: int | None = None
    """Bytes that models may hold together; 0: as many as they like; None: what the machine allows."""
    heartbeat: float = 1.0
    """Seconds between signs of life for a job that is held; well below the queue's ack_wait of 4."""
    pull_wait: float = 1.0
    """Seconds one pull waits for a job; bounds how long a stop waits for the pull that is under way."""
    announce_interval: float = 3.0
    """Seconds between announcements; they are forgotten after 10."""
    progress_interval: float = 0.4
    """Least seconds between two progress events of a stage; runners report every 0.5, not to the millisecond."""
    patience: float = 30.0
    """Seconds a bus or store call is repeated while the servers are away."""
    segment_patience: float = 300.0
    """Seconds the servers may be away until an attempt goes on without committing what it has done."""
    transfer_limit: float = 900.0
    """Seconds one file may take from or to the object store."""
    attempt_limit: float = 6 * 3600.0
    """Seconds one attempt may take in all."""
    retry_delay: float = 5.0
    """Seconds before the attempt after the first; doubled with each."""
    drain_limit: float = 7.0
    """Seconds a stop may take until what still runs is abandoned to the next worker."""


def worker_settings(env: Environment, *, pid: int) -> WorkerSettings:
    """Read and check the worker's variables. Raises LocalError (CONFIG_INVALID) naming the variable."""
    return WorkerSettings(
        name=_name(env.text("FRAMEWIRE_WORKER", f"{socket.gethostname()}-{pid}")),
        lanes=_lanes(env.text("FRAMEWIRE_LANES", "gpu,cpu")),
        priorities=_priorities(env.text("FRAMEWIRE_PRIORITIES", "0,1,2,3")),
        overflow_after=_overflow_after(env),
        slots=env.integer("FRAMEWIRE_SLOTS", 3, least=1),
        scratch=Path(env.text("FRAMEWIRE_SCRATCH", str(Path(tempfile.gettempdir()) / "framewire-scratch"))),
        inference=inference_address(env),
        model_memory=env.size("FRAMEWIRE_MODEL_MEMORY"),
    )


def sandbox_mode(env: Environment) -> Mode:
    """How much of the sandbox runners must have."""
    text = env.text("FRAMEWIRE_SANDBOX", Mode.PREFER).lower()
    if text not in list(Mode):
        raise LocalError(f"FRAMEWIRE_SANDBOX must be {', '.join(Mode)}, not {text!r}")
    return Mode(text)


def inference_address(env: Environment) -> InferenceAddress:
    """Where Triton is."""
    return InferenceAddress(
        url=env.text("FRAMEWIRE_TRITON_URL", "127.0.0.1:8001"),
        key=env.text("FRAMEWIRE_TRITON_KEY", ""),
        shared_memory=env.flag("FRAMEWIRE_TRITON_SHARED_MEMORY", default=True),
    )


SINGLE_THREADED: Final = {"OPENBLAS_NUM_THREADS": "1"}
"""Keeps libraries from starting threads when they are imported: a sandbox binds only threads that are younger."""
FRUGAL: Final = {"MALLOC_ARENA_MAX": "2", "MALLOC_MMAP_THRESHOLD_": str(4 << 20)}
"""Has the C library give large pictures back to the system when they are freed, rather than keep some for each thread:
a sixth less private memory at 3840x2160. Smaller ones, which come often, are kept as ever."""
_RUNNER_VARIABLES = re.compile(
    r"PATH|HOME|LANG|LC_\w+|TZ|TMPDIR|VIRTUAL_ENV|PYTHON\w+|LD_LIBRARY_PATH|OMP_\w+|CUDA_\w+|NVIDIA_\w+"
    r"|FRAMEWIRE_LOG_\w+|FRAMEWIRE_SANDBOX|FRAMEWIRE_STACK"  # by the latter a stack's guardian finds its processes
)


def runner_environment(variables: Mapping[str, str]) -> dict[str, str]:
    """The part of this process's variables a runner may see. A list of what is allowed: a secret is never on it."""
    allowed = {name: value for name, value in variables.items() if _RUNNER_VARIABLES.fullmatch(name)}
    return {**allowed, **SINGLE_THREADED, **FRUGAL}


def _name(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9._-]{1,100}", text):
        raise LocalError(f"FRAMEWIRE_WORKER must be 1 to 100 letters, digits, '.', '_' or '-', not {text!r}")
    return text


def _priorities(text: str) -> tuple[int, ...]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names or not {*names} <= {*map(str, PRIORITIES)}:
        raise LocalError(f"FRAMEWIRE_PRIORITIES must be a list of {', '.join(map(str, PRIORITIES))}, not {text!r}")
    return tuple(sorted({int(name) for name in names}))


def _overflow_after(env: Environment) -> int | None:
    if not env.text("FRAMEWIRE_OVERFLOW_AFTER", ""):
        return None
    return env.integer("FRAMEWIRE_OVERFLOW_AFTER", 0, least=0)


def _lanes(text: str) -> tuple[Lane.ValueType, ...]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    unknown = [name for name in names if name not in _LANES]
    if unknown or not names:
        raise LocalError(f"FRAMEWIRE_LANES must be a list of {', '.join(_LANES)}, not {text!r}")
    return tuple(dict.fromkeys(_LANES[name] for name in names))
