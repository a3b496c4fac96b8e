"""Entering the sandbox, layer by layer. Each step only takes rights away; none can be taken back."""

from __future__ import annotations

import enum
import os
import sys
import sysconfig
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from coordinator.sandbox import kernel, landlock, seccomp
from coordinator.sandbox.layers import layers
from coordinator.sandbox.limits import SandboxLimits, bound_process
from framewire.errors import ErrorCode, WorkerError

_SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - where POSIX keeps shared memory, not a temporary folder
_DEVICE_FILES = Path("/dev")
_LIBRARIES = ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib", "/etc/ld.so.cache")
_DEVICES = ("/dev/null", "/dev/zero", "/dev/urandom", "/dev/random")
_GPU_DEVICES = "nvidia*"
"""In `/dev`: nvidiactl, nvidia0 and so on, nvidia-uvm, and the folder nvidia-caps."""
_GPU_FACTS = (
    *("/proc/driver/nvidia", "/proc/devices", "/proc/self/maps", "/proc/sys/vm"),
    *("/sys/bus/pci", "/sys/devices", "/sys/module"),
    *("/usr/local/nvidia", "/usr/local/cuda", "/usr/share/nvidia", "/etc/nvidia"),
)
"""What NVIDIA's driver library and CUDA read of the machine, besides libraries in the usual places."""
_THREADS = Path("/proc/self/task")


class Mode(enum.StrEnum):
    """How much of the sandbox has to be there."""

    REQUIRE = "require"  # All of it, or no job runs.
    PREFER = "prefer"  # What this machine has.
    OFF = "off"  # Only bounds on memory, time and files.


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """What one job may reach."""

    read: tuple[Path, ...] = ()
    """Files and folders."""
    write: tuple[Path, ...] = ()
    """Folders in which files and folders are made, written and deleted."""
    ports: tuple[int, ...] = ()
    """TCP ports it may connect to, until the sandbox is sealed."""
    shared_memory: bool = False
    """POSIX shared memory."""
    gpu: bool = False
    """NVIDIA's devices, for an encoder on the GPU."""


def begin(limits: SandboxLimits) -> None:
    """Everything that needs no order. Call first."""
    bound_process(limits)
    if sys.platform == "linux":
        kernel.gain_no_privileges()
        kernel.die_with_parent()
        kernel.forgo_real_time()


def enter(access: Access, mode: Mode) -> None:
    """Confine this process to what its job needs. Call while it has one thread, with everything imported.

    Raises WorkerError (CONFIG_INVALID) when `mode` requires what this machine does not have.
    """
    if mode is Mode.OFF or sys.platform != "linux":
        return
    _check(mode)
    if landlock.version():
        landlock.restrict(rules(access), ports=access.ports)
    kernel.drop_capabilities()
    if seccomp.available():
        seccomp.forbid(os.getpid())


def seal(mode: Mode) -> None:
    """No new connection from now on. Holds for all threads."""
    if mode is not Mode.OFF and sys.platform == "linux" and seccomp.available():
        seccomp.close_network()


def _check(mode: Mode) -> None:
    if mode is not Mode.REQUIRE:
        return
    missing = [layer.words for layer in layers() if not layer.here]
    if landlock.version() and (threads := len(list(_THREADS.iterdir()))) > 1:
        missing.append(f"{threads - 1} threads are older than the sandbox; set OPENBLAS_NUM_THREADS=1")
    if missing:
        raise WorkerError(f"FRAMEWIRE_SANDBOX=require: {'; '.join(missing)}", code=ErrorCode.CONFIG_INVALID)


def rules(access: Access, *, devices: Path = _DEVICE_FILES) -> Iterable[landlock.Rule]:
    """Every path a job with this access may use, and how."""
    yield from (landlock.Rule(path, landlock.READ) for path in {*_of_python(), *map(Path, _LIBRARIES), *access.read})
    yield from (landlock.Rule(Path(path), landlock.DEVICE) for path in _DEVICES)
    yield from (landlock.Rule(path, landlock.BUILD) for path in access.write)
    if access.gpu:
        yield from (landlock.Rule(path, landlock.DEVICE) for path in sorted(devices.glob(_GPU_DEVICES)))
        yield from (landlock.Rule(Path(path), landlock.READ) for path in _GPU_FACTS)
    if access.shared_memory:
        yield landlock.Rule(_SHARED_MEMORY, landlock.KEEP & ~landlock.READ_DIR)


def _of_python() -> Iterable[Path]:
    """Where modules lie that may be imported late, and the sources that a traceback quotes."""
    paths = sysconfig.get_paths()
    yield from {Path(paths[name]) for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    for package in ("coordinator", "framewire"):
        spec = find_spec(package)
        yield from (Path(path) for path in (spec and spec.submodule_search_locations) or ())
