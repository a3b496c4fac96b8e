"""How long threads of some processes were ready to run and had no processor: what the machine, not they, took."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path

import psutil


class RunDelay:
    """Counts from its making on, for these processes and the children they have then."""

    def __init__(self, services: Mapping[str, int]) -> None:
        self._pids = dict(_with_children(services))
        self._before = {pid: _delay(pid) for pid in self._pids}

    def milliseconds(self) -> dict[str, float]:
        """By role, all threads together, so that waiting side by side counts twice; only those that waited."""
        found: dict[str, float] = {}
        for pid, role in self._pids.items():
            found[role] = found.get(role, 0.0) + max(0.0, _delay(pid) - self._before[pid])
        return {role: waited for role, waited in found.items() if waited >= 1}


def _with_children(services: Mapping[str, int]) -> Iterator[tuple[int, str]]:
    for name, pid in services.items():
        yield pid, name
        with contextlib.suppress(psutil.Error):
            for child in psutil.Process(pid).children(recursive=True):
                yield child.pid, {"coordinator": "runner", "triton": "triton models"}.get(name, name)


def _delay(pid: int) -> float:
    """Milliseconds of all threads that live, from the second number of `schedstat`."""
    total = 0
    for path in Path(f"/proc/{pid}/task").glob("*/schedstat"):
        with contextlib.suppress(OSError):
            total += int(path.read_text().split()[1])
    return total / 1e6
