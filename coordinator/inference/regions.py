"""Shared-memory regions: named by the process that made them, so that anybody can tell whose a leftover is.

    framewire-arena.<host>.<pid>.<start>.<random>

`host` stands for this boot of this machine and its process-id namespace: only there does `pid` mean
anything. `start` is when the process started: process ids are used again.
"""

from __future__ import annotations

import functools
import hashlib
import mmap
import os
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from framewire.errors import ErrorCode, WorkerError

SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - where POSIX keeps shared memory, not a temporary folder
_PREFIX = "framewire-arena"
_PROC = Path("/proc")


@dataclass(frozen=True, slots=True, kw_only=True)
class RegionName:
    """What a region is called, and what that says about its maker."""

    host: str
    pid: int
    start: int
    random: str

    def __str__(self) -> str:
        return f"{_PREFIX}.{self.host}.{self.pid}.{self.start}.{self.random}"

    @classmethod
    def new(cls) -> RegionName:
        """A name for a region of this process, unlike any other."""
        host, pid, start = _maker(os.getpid())
        return cls(host=host, pid=pid, start=start, random=secrets.token_hex(6))

    @classmethod
    def parse(cls, text: str) -> RegionName | None:
        """The name `text` is, None when it is none of ours."""
        parts = text.split(".")
        if len(parts) != 5 or parts[0] != _PREFIX or not (parts[2].isdecimal() and parts[3].isdecimal()):
            return None
        return cls(host=parts[1], pid=int(parts[2]), start=int(parts[3]), random=parts[4])

    @property
    def is_dead(self) -> bool:
        """Whether its maker ran here and is gone. Of other hosts nothing can be said: False."""
        return self.host == _this_host() and _start_of(self.pid) != self.start

    @property
    def file(self) -> Path:
        """Where the region lies until it is unlinked."""
        return SHARED_MEMORY / str(self)


def create(name: RegionName, size: int) -> mmap.mmap:
    """Make the region's file, readable by this user alone, with all its memory reserved, and map it.

    Raises WorkerError (INFERENCE_FAILED) when there is not that much shared memory: found out now,
    and not by a SIGBUS in the middle of a job.
    """
    descriptor = os.open(name.file, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        os.posix_fallocate(descriptor, 0, size)
        return mmap.mmap(descriptor, size)
    except OSError as error:
        unlink(name)
        raise WorkerError(
            f"cannot reserve {size >> 20} MiB of shared memory ({error.strerror}): enlarge {SHARED_MEMORY},"
            " or set FRAMEWIRE_TRITON_SHARED_MEMORY=no",
            code=ErrorCode.INFERENCE_FAILED,
        ) from error
    finally:
        os.close(descriptor)


def unlink(name: RegionName) -> None:
    """Remove the region's name. Who has mapped it keeps it; when the last of them is gone, so is the memory."""
    name.file.unlink(missing_ok=True)


def dead_files() -> Iterator[RegionName]:
    """Regions of dead processes whose files still lie there."""
    for path in SHARED_MEMORY.glob(f"{_PREFIX}.*"):
        name = RegionName.parse(path.name)
        if name and name.is_dead:
            yield name


def know_this_process() -> None:
    """Look up what names of regions are made of, for a process that will not be allowed to look later."""
    _maker(os.getpid())


@functools.cache
def _maker(pid: int) -> tuple[str, int, int]:
    return _this_host(), pid, _start_of(pid) or 0


def _this_host() -> str:
    boot = (_PROC / "sys/kernel/random/boot_id").read_text().strip()
    return hashlib.sha256(f"{boot} {(_PROC / 'self/ns/pid').readlink()}".encode()).hexdigest()[:12]


def _start_of(pid: int) -> int | None:
    """When the process started, in ticks since boot; None when it does not run."""
    try:
        fields = (_PROC / str(pid) / "stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        return None
    return None if fields[0] in (b"Z", b"X") else int(fields[19])
