"""Bounds the kernel keeps on a runner: memory, processor time, open files, sizes of files."""

from __future__ import annotations

import os
import resource
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxLimits:
    """Bounds of one runner."""

    memory_bytes: int = 6 << 30
    """Private memory: heap, stacks, codec buffers. Shared blocks are bounded by their arena."""
    open_files: int = 256
    least_file_bytes: int = 4 << 30
    """A file may always become this large."""
    file_growth: int = 100
    """A file may become this many times larger than the input."""
    attempt_seconds: int = 6 * 3600
    """Seconds of processor time on every processor of the machine together; the worker's own limit is in wall time."""


def bound_process(limits: SandboxLimits) -> None:
    """Apply what does not depend on the job: no core dumps (they hold people's pictures), files, memory, processor."""
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_NOFILE, limits.open_files)
    _limit(resource.RLIMIT_DATA, limits.memory_bytes)
    _limit(resource.RLIMIT_CPU, limits.attempt_seconds * (os.cpu_count() or 1))


def bound_files(limits: SandboxLimits, input_bytes: int) -> None:
    """Bound what any file may grow to; writing more fails with EFBIG."""
    _limit(resource.RLIMIT_FSIZE, max(limits.least_file_bytes, limits.file_growth * input_bytes))


def _limit(kind: int, value: int) -> None:
    _, hard = resource.getrlimit(kind)
    bound = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(kind, (bound, bound))
