"""A local stack as a person starts it: `framewire up` in a process of its own, used through `framewire` commands."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from servers import stop, wait_until

from coordinator.inference.regions import RegionName
from framewire.stack.folder import DataFolder

QUICK_STEP = "enhance:model=upscale_bicubic_x2"
"""Enlarges as quickly as anything does, for tests that ask another question than how good it looks."""
FRAMEWIRE = str(Path(sys.executable).with_name("framewire"))


@dataclass(frozen=True)
class Answer:
    """What a command printed and how it ended."""

    code: int
    out: str
    err: str

    @property
    def records(self) -> list[dict[str, Any]]:
        """The lines of a command run with --json."""
        return [json.loads(line) for line in self.out.splitlines()]


@dataclass
class Stack:
    """A stack that runs in a data folder."""

    data: Path
    process: subprocess.Popen[bytes]

    def run(self, *arguments: str | Path, timeout: float = 120) -> Answer:
        """`framewire ARGUMENTS` against this stack, to its end."""
        return framewire(*arguments, "--data", self.data, timeout=timeout)

    def start(self, *arguments: str | Path) -> subprocess.Popen[str]:
        """The same in the background, stdout in a pipe."""
        argv = [FRAMEWIRE, *map(str, arguments), "--data", str(self.data)]
        return subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    @property
    def state(self) -> dict[str, Any]:
        """stack.json: addresses and processes."""
        state: dict[str, Any] = json.loads((self.data / "stack.json").read_text())
        return state

    def service(self, name: str) -> dict[str, Any]:
        """One server's entry."""
        return next(each for each in self.state["services"] if each["name"] == name)

    def kill(self, name: str) -> None:
        """kill -9 one server."""
        os.kill(self.service(name)["pid"], signal.SIGKILL)


def framewire(*arguments: str | Path, timeout: float = 120) -> Answer:
    """`framewire ARGUMENTS`, to its end."""
    done = subprocess.run(
        [FRAMEWIRE, *map(str, arguments)], capture_output=True, text=True, timeout=timeout, check=False
    )
    return Answer(done.returncode, done.stdout, done.stderr)


@contextlib.contextmanager
def started(data: Path) -> Iterator[Stack]:
    """`framewire up` until the block ends."""
    log = data.with_suffix(".log")
    with log.open("wb") as output:
        process = subprocess.Popen(
            [FRAMEWIRE, "up", "--data", str(data)], stdout=output, stderr=output, start_new_session=True
        )
    stack = Stack(data, process)
    try:
        wait_until(lambda: process.poll() is not None or _ready(stack), "the stack to get ready", within=90)
        assert process.poll() is None, log.read_text()[-3000:]
        yield stack
    finally:
        stop(process, within=30)


def _ready(stack: Stack) -> bool:
    try:
        return bool(stack.state["ready"])
    except (OSError, ValueError):
        return False


def processes_of(data: Path) -> dict[int, str]:
    """Processes that name a data folder in their arguments or their environment, by id."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            with contextlib.suppress(OSError):
                about = (entry / "cmdline").read_bytes() + (entry / "environ").read_bytes()
                if str(data).encode() in about:
                    found[int(entry.name)] = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
    return found


def shared_memory_of(data: Path) -> set[str]:
    """Shared-memory files of a data folder's Triton, and of runners that are gone or its own: others' are not ours."""
    folder, own = DataFolder(data), processes_of(data)
    names = [entry.name for entry in Path("/dev/shm").iterdir()]
    regions = [region for region in map(RegionName.parse, names) if region is not None]
    left = {str(region) for region in regions if region.is_dead or region.pid in own}
    return left | {name for name in names if name.startswith(folder.shm_prefix)}
