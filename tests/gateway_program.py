"""The gateway as a program of its own."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

BOUND = 20.0


class Program:
    """`python -m gateway` with these settings; may be killed and started again."""

    def __init__(
        self, env: dict[str, str], log: Path, within: Callable[[Sequence[str]], Sequence[str]] = lambda argv: argv
    ) -> None:
        """`within`: from its command line to the one that runs it somewhere else."""
        self._env = env
        self._within = within
        self._log = log
        self.process: asyncio.subprocess.Process | None = None
        self.grpc = self.rest = ""

    async def start(self) -> None:
        reading, writing = os.pipe()
        with self._log.open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                *self._within([sys.executable, "-m", "gateway"]),
                env={**os.environ, **self._env, "FRAMEWIRE_READY_FD": str(writing)},
                pass_fds=(writing,), stderr=log,
            )  # fmt: skip
        os.close(writing)
        with os.fdopen(reading) as pipe:
            async with asyncio.timeout(BOUND):
                line = await asyncio.to_thread(pipe.readline)
        assert line, self._log.read_text()
        facts = json.loads(line)
        self.grpc, self.rest = facts["grpc"], facts["rest"]

    async def end(self, number: signal.Signals) -> int:
        assert self.process is not None
        if self.process.returncode is None:
            self.process.send_signal(number)
        async with asyncio.timeout(BOUND):
            return await self.process.wait()
