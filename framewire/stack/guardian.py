"""Ends what a local stack left behind, however the stack itself ended.

    python -I -S guardian.py MARKER SHM_PREFIX STATE_FILE GRACE   < pipe from the supervisor

The supervisor writes the session id of every child it starts (`+123`) and of every child that is gone
(`-123`) into the pipe. When the pipe ends, the supervisor is gone - stopped, crashed or killed - and
whatever is still alive of its children gets TERM, then KILL; then shared memory and the state file go.

What belongs to the stack is found twice over: by session, and by the marker in the environment that
children hand down to theirs, so that a grandchild in a session of its own is found too.

Only the standard library, and no import of Framewire: this has to work when everything else is broken.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import select
import signal
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

MARKER = "FRAMEWIRE_STACK"
_PROC = Path("/proc")
_SHM = Path("/dev/shm")  # noqa: S108 - where POSIX shared memory lies, not a temporary file of ours
_REGIONS = "framewire-arena"
"""coordinator/inference/regions.py says how their names go on: the host, the maker's process id."""
_ROUNDS = 20
_EXEC = 0.1
"""Seconds between two looks that find nobody: a process that is about to execute a program has no environment."""


def reclaim(marker: str, sessions: Iterable[int], shm_prefix: str, *, grace: float) -> int:
    """End every process of a stack and remove its shared memory. Returns how many processes there were.

    Returns when they are gone: within `grace` seconds of TERM, or at once after KILL.
    """
    sessions = frozenset(sessions)
    first = processes(marker, sessions)
    shared = _shared_memory(first)
    _signal_all(first, signal.SIGTERM)
    _wait_gone(first, grace)
    empty = 0
    for _ in range(_ROUNDS):
        rest = processes(marker, sessions)
        empty = 0 if rest else empty + 1
        if empty == 2:
            break
        if not rest:
            time.sleep(_EXEC)
            continue
        shared |= _shared_memory(rest)
        _signal_all(rest, signal.SIGKILL)
        _wait_gone(rest, 1.0)
    _remove_shared_memory(shared | _left_regions(), shm_prefix)
    return len(first)


def processes(marker: str, sessions: Iterable[int]) -> set[int]:
    """Processes, zombies excluded, that carry the marker or belong to one of the sessions; never this one."""
    wanted = f"{MARKER}={marker}".encode()
    sessions = frozenset(sessions)
    return {pid for pid in _pids() if pid != os.getpid() and _belongs(pid, wanted, sessions)}


def _pids() -> Iterable[int]:
    return (int(entry.name) for entry in _PROC.iterdir() if entry.name.isdigit())


def _belongs(pid: int, wanted: bytes, sessions: frozenset[int]) -> bool:
    try:
        # `pid (any name) state ppid pgrp session ...`
        state, _, _, session = (_PROC / str(pid) / "stat").read_bytes().rpartition(b")")[2].split()[:4]
        if state in (b"Z", b"X"):
            return False
        return int(session) in sessions or wanted in (_PROC / str(pid) / "environ").read_bytes().split(b"\0")
    except (OSError, ValueError):
        return False


def _signal_all(pids: Iterable[int], number: signal.Signals) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)


def _wait_gone(pids: Iterable[int], timeout: float) -> None:
    """Wait until all have ended, `timeout` seconds at most."""
    poll = select.poll()
    waiting = set()
    for pid in pids:
        with contextlib.suppress(OSError):  # it is gone already
            descriptor = os.pidfd_open(pid)
            poll.register(descriptor, select.POLLIN)
            waiting.add(descriptor)
    deadline = time.monotonic() + timeout
    while waiting and (left := deadline - time.monotonic()) > 0:
        for descriptor, _ in poll.poll(left * 1000):
            poll.unregister(descriptor)
            os.close(descriptor)
            waiting.discard(descriptor)
    for descriptor in waiting:
        os.close(descriptor)


def _shared_memory(pids: Iterable[int]) -> set[Path]:
    """Files of /dev/shm that any of these processes has mapped."""
    found = set()
    for pid in pids:
        with contextlib.suppress(OSError):
            for line in (_PROC / str(pid) / "maps").read_text(errors="replace").splitlines():
                path = line.split(maxsplit=5)[5] if line.count("/") else ""
                if path.startswith(f"{_SHM}/") and not path.endswith(" (deleted)"):
                    found.add(Path(path))
    return found


def _left_regions() -> set[Path]:
    """Regions of runners that are gone: nobody asks for what the dead have made.

    One that is told to end may have made a region just then; one that ended with its worker, at once, was never seen.
    """
    with contextlib.suppress(OSError):
        boot = (_PROC / "sys/kernel/random/boot_id").read_text().strip()
        host = hashlib.sha256(f"{boot} {(_PROC / 'self/ns/pid').readlink()}".encode()).hexdigest()[:12]
        return {path for path in _SHM.glob(f"{_REGIONS}.{host}.*") if _is_left(path.name.split("."))}
    return set()


def _is_left(name: Sequence[str]) -> bool:
    """Whether a region `framewire-arena.<host>.<pid>.<start>.<random>` has lost its maker."""
    return len(name) == 5 and name[2].isdecimal() and name[3].isdecimal() and _started(name[2]) != name[3]


def _started(pid: str) -> str:
    """When a process started, as its statistics say it; "" when it does not run."""
    try:
        fields = (_PROC / pid / "stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] in (b"Z", b"X") else fields[19].decode()


def _remove_shared_memory(mapped: set[Path], prefix: str) -> None:
    """Remove files by the stack's prefix, and those its processes had mapped and nobody else has."""
    named = set(_SHM.glob(f"{prefix}*")) if prefix and _SHM.is_dir() else set()
    others = _shared_memory(_pids()) if mapped - named else set()
    for path in named | (mapped - others):
        with contextlib.suppress(OSError):
            path.unlink()


def _follow(lines: Iterable[str]) -> set[int]:
    """Sessions that are alive when the lines end."""
    sessions: set[int] = set()
    for line in lines:
        with contextlib.suppress(ValueError):
            (sessions.add if line[0] == "+" else sessions.discard)(int(line[1:]))
    return sessions


def main(arguments: list[str]) -> None:
    """Watch over one supervisor until it is gone; then tidy up."""
    marker, shm_prefix, state_file, grace = arguments
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # it ends when the supervisor does
    with os.fdopen(0) as pipe:
        sessions = _follow(pipe)
    reclaim(marker, sessions, shm_prefix, grace=float(grace))
    Path(state_file).unlink(missing_ok=True)


if __name__ == "__main__":
    main(sys.argv[1:])
