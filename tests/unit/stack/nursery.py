"""Tiny children for the supervisor, and waiting without sleeping."""

from __future__ import annotations

import asyncio
import os
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

from framewire.stack.child import Child
from framewire.stack.guard import GuardSettings
from framewire.stack.pulse import Vigil
from framewire.stack.spec import Backoff, ChildSpec, Phase
from framewire.stack.supervisor import Supervisor

READY = "import os; os.write(int(os.environ['FRAMEWIRE_READY_FD']), b'{\"hello\": 1}\\n')\n"
BEAT = """
import os, time
while True:
    os.write(int(os.environ['FRAMEWIRE_ALIVE_FD']), b'.')
    time.sleep(0.01)
"""
WAIT = "import signal; signal.pause()\n"
DEAF = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
IGNORE = DEAF + "while True: signal.pause()\n"


def spawning(code: str) -> str:
    """Code that starts `code` as a process in a session of its own, and goes on when that one runs."""
    child = "print(flush=True)\n" + code
    return f"""
import subprocess, sys
subprocess.Popen(
    [sys.executable, "-I", "-S", "-c", {child!r}], start_new_session=True, stdout=subprocess.PIPE
).stdout.readline()
"""


class Changes:
    """Remembers every change of every child; lets a test wait for one."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, Phase, str]] = []
        self._arrived = asyncio.Event()

    def __call__(self, child: Child) -> None:
        self.seen.append((child.spec.name, child.phase, child.note))
        self._arrived.set()

    async def until(self, condition: Callable[[], bool], *, timeout: float = 20.0) -> None:
        async with asyncio.timeout(timeout):
            while not condition():
                await self._arrived.wait()
                self._arrived.clear()

    def phases(self, name: str) -> list[Phase]:
        return [phase for seen, phase, _ in self.seen if seen == name]


class Nursery:
    """Makes specs and supervisors in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.changes = Changes()
        self.marker = f"test-{os.getpid()}-{folder.name}"
        self.supervisors: list[Supervisor] = []

    def spec(self, name: str, code: str, **more: object) -> ChildSpec:
        script = self.folder / f"{name}.py"
        script.write_text(textwrap.dedent(code))
        argv = (sys.executable, "-I", "-S", str(script))
        return ChildSpec(name=name, argv=argv, log=self.folder / f"{name}.log", **more)  # type: ignore[arg-type]  # test's own keywords

    def guard(self, **more: object) -> GuardSettings:
        return GuardSettings(
            marker=self.marker,
            shm_prefix=f"framewire_test_{os.getpid()}_{self.folder.name}_",
            state_file=self.folder / "stack.json",
            log=self.folder / "guardian.log",
            grace=3.0,
            **more,  # type: ignore[arg-type]  # test's own keywords
        )

    def supervisor(self, *specs: ChildSpec, start_timeout: float = 20.0, vigil: Vigil | None = None) -> Supervisor:
        supervisor = Supervisor(
            specs,
            self.guard(),
            environment={"PATH": os.environ["PATH"]},
            changed=self.changes,
            start_timeout=start_timeout,
            backoff=Backoff(first=0.01, most=0.05),
            vigil=vigil,
        )
        self.supervisors.append(supervisor)
        return supervisor
