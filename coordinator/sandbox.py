"""What keeps a runner, which decodes strangers' files, from harming its machine.

Enforced here, by the process on itself, before it opens anything:

- it dies with its parent (PR_SET_PDEATHSIG, SIGKILL);
- it can gain no privileges (PR_SET_NO_NEW_PRIVS), so a set-uid program is of no use to it;
- no core dumps: they would hold people's pictures;
- private memory, open files and the size of any file it writes are bounded.

Not enforced here: which files and addresses it may reach. That needs namespaces or a filter of
system calls; they would be entered in `enter`, before the order is read.
"""

from __future__ import annotations

import ctypes
import resource
import signal
import sys
from dataclasses import dataclass

_PR_SET_PDEATHSIG = 1
_PR_SET_NO_NEW_PRIVS = 38


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


def enter(limits: SandboxLimits) -> None:
    """Apply everything that does not depend on the job. Call before other threads start.

    The kernel ends this process when the parent's *thread* that started it ends, so a parent starts
    runners from a thread that stays.
    """
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_NOFILE, limits.open_files)
    _limit(resource.RLIMIT_DATA, limits.memory_bytes)
    if sys.platform == "linux":
        _prctl(_PR_SET_NO_NEW_PRIVS, 1)
        _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def bound_files(limits: SandboxLimits, input_bytes: int) -> None:
    """Bound what any file may grow to; writing more fails with EFBIG."""
    _limit(resource.RLIMIT_FSIZE, max(limits.least_file_bytes, limits.file_growth * input_bytes))


def _limit(kind: int, value: int) -> None:
    _, hard = resource.getrlimit(kind)
    bound = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(kind, (bound, bound))


def _prctl(option: int, value: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), f"prctl({option}) was refused")
