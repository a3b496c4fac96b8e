"""How much memory models hold, as the kernel or the GPU's driver counts it.

A model of a Python-based backend runs in processes of its own, named by its path: what they hold is the model's. On a
GPU the driver says what each of these processes has taken there. Models of native backends share the server's own
process, where nobody can tell them apart: for those counts what their config.pbtxt says was measured.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

_PROC: Final = Path("/proc")
_STUB: Final = "triton_python_backend_stub"
_LOOPBACK: Final = {"127.0.0.1", "localhost", "::1", "[::1]"}
_LISTEN: Final = "0A"
_SHARE: Final = 0.5
"""Of this machine's memory, what models get when nobody says otherwise: decoders, encoders and people need some too."""
_GPU_SHARE: Final = 0.9


class Gpus(Protocol):
    """The GPUs of this machine."""

    def total(self) -> int:
        """Bytes of all of them; 0 when there is none."""

    def held_by(self, pids: set[int]) -> int:
        """Bytes these processes hold there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryMeter:
    """Measures one Triton, if it runs on this machine."""

    url: str
    """`host:port` of its gRPC endpoint."""
    gpus: Gpus

    def budget(self) -> int:
        """Bytes that models may hold by default: most of the GPUs' memory, or half of this machine's; 0: not known."""
        if not self._is_here:
            return 0
        on_gpu = self.gpus.total()
        return int(on_gpu * _GPU_SHARE) if on_gpu else int(_ram() * _SHARE)

    def held_by(self, model: str) -> int | None:
        """Bytes this model's processes hold: on the GPUs where there are any. None when there are no such processes."""
        server = _listening_on(int(self.url.rpartition(":")[2])) if self._is_here else None
        pids = set(_stubs(server, model)) if server else set()
        if not pids:
            return None
        return self.gpus.held_by(pids) or sum(map(_own_memory, pids))

    @property
    def _is_here(self) -> bool:
        return self.url.rpartition(":")[0] in _LOOPBACK


def _ram() -> int:
    """Of this machine, or of the control group this process is confined to."""
    pages, page = os.sysconf("SC_PHYS_PAGES"), os.sysconf("SC_PAGE_SIZE")
    try:
        limit = (Path("/sys/fs/cgroup") / "memory.max").read_text().strip()
    except OSError:
        limit = "max"
    return min(pages * page, int(limit)) if limit.isdecimal() else pages * page


def _listening_on(port: int) -> int | None:
    """The process of this user's that listens on a port."""
    inodes = set(_listening_inodes(port))
    for process in _PROC.iterdir():
        if process.name.isdecimal() and inodes & set(_sockets(process)):
            return int(process.name)
    return None


def _listening_inodes(port: int) -> Iterator[str]:
    for table in ("tcp", "tcp6"):
        try:
            lines = (_PROC / "net" / table).read_text().splitlines()[1:]
        except OSError:
            continue
        for fields in (line.split() for line in lines):
            if fields[3] == _LISTEN and int(fields[1].rpartition(":")[2], 16) == port:
                yield fields[9]


def _sockets(process: Path) -> Iterator[str]:
    try:
        for descriptor in (process / "fd").iterdir():
            target = str(descriptor.readlink())
            if target.startswith("socket:["):
                yield target[8:-1]
    except OSError:  # another user's, or gone meanwhile
        return


def _stubs(server: int, model: str) -> Iterator[int]:
    """The model's processes: their first argument is REPOSITORY/MODEL/VERSION/FILE."""
    for process in _PROC.iterdir():
        if not process.name.isdecimal():
            continue
        try:
            arguments = (process / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if len(arguments) < 3 or not arguments[0].endswith(_STUB.encode()) or str(server).encode() not in arguments:
            continue
        if os.fsdecode(arguments[1]).split("/")[-3:-2] == [model]:
            yield int(process.name)


def _own_memory(pid: int) -> int:
    """Proportional set size: pages that processes share are divided among them."""
    try:
        lines = (_PROC / str(pid) / "smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))


class _Memory(ctypes.Structure):
    _fields_ = (("total", ctypes.c_ulonglong), ("free", ctypes.c_ulonglong), ("used", ctypes.c_ulonglong))


class _Process(ctypes.Structure):
    _fields_ = (
        ("pid", ctypes.c_uint),
        ("used", ctypes.c_ulonglong),
        ("gpu_instance", ctypes.c_uint),
        ("compute_instance", ctypes.c_uint),
    )


class NvidiaGpus:
    """By NVIDIA's management library, which comes with the driver; no GPUs where it is not installed."""

    def __init__(self) -> None:
        self._library: ctypes.CDLL | None = None
        try:
            library = ctypes.CDLL("libnvidia-ml.so.1")
        except OSError:
            return
        if library.nvmlInit_v2() == 0:
            self._library = library

    def total(self) -> int:
        """Bytes of all GPUs."""
        memory, total = _Memory(), 0
        for device in self._devices():
            if self._call("nvmlDeviceGetMemoryInfo", device, ctypes.byref(memory)):
                total += memory.total
        return total

    def held_by(self, pids: set[int]) -> int:
        """As the driver counts it."""
        found = 0
        for device in self._devices():
            count = ctypes.c_uint(256)
            processes = (_Process * 256)()
            if self._call("nvmlDeviceGetComputeRunningProcesses_v3", device, ctypes.byref(count), processes):
                found += sum(process.used for process in processes[: count.value] if process.pid in pids)
        return found

    def _devices(self) -> Iterator[ctypes.c_void_p]:
        count = ctypes.c_uint()
        if not self._call("nvmlDeviceGetCount_v2", ctypes.byref(count)):
            return
        for number in range(count.value):
            device = ctypes.c_void_p()
            if self._call("nvmlDeviceGetHandleByIndex_v2", ctypes.c_uint(number), ctypes.byref(device)):
                yield device

    def _call(self, name: str, *arguments: object) -> bool:
        return self._library is not None and getattr(self._library, name)(*arguments) == 0
