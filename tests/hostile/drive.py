"""Hands files to runners as a worker does, and watches what they take."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import time
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path

from coordinator.child import RunnerProcess
from coordinator.runner_pool import RunnerPool
from coordinator.settings import RunnerSettings
from framewire.errors import FramewireError
from framewire.v1.job_pb2 import OutputSettings
from framewire.v1.step_pb2 import Step
from framewire.work.v1.work_pb2 import InferenceAddress, RunnerOrder, RunnerReport

LOOK_SECONDS = 0.01
"""How often memory is looked at: shorter peaks may be missed."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """A file and the name it is given."""

    group: str
    name: str
    data: bytes


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What came of one file."""

    case: Case
    result: str
    """`done`, `partly` (done, with a warning), or the code of the error."""
    message: str
    typed: bool
    """A result or an error that the runner itself reported."""
    seconds: float
    private: int
    """Most private memory, in bytes."""
    resident: int
    """Most memory of any kind, shared blocks and libraries included."""


@dataclass(frozen=True, kw_only=True)
class Driver:
    """Runs cases in `folder`, several at once."""

    runner: RunnerSettings
    folder: Path
    inference: InferenceAddress
    steps: tuple[Step, ...] = ()
    output: OutputSettings = field(default_factory=lambda: OutputSettings(preset="ultrafast"))

    async def run(self, cases: Iterable[Case], *, at_once: int) -> list[Outcome]:
        """The outcomes in the order of the cases."""
        queue = list(enumerate(cases))[::-1]
        outcomes: dict[int, Outcome] = {}
        pool = RunnerPool(self.runner)
        await pool.start()

        async def work() -> None:
            while queue:
                number, case = queue.pop()
                outcomes[number] = await self._one(pool, number, case)

        try:
            await asyncio.gather(*(work() for _ in range(at_once)))
        finally:
            await pool.stop()
        return [outcomes[number] for number in sorted(outcomes)]

    async def _one(self, pool: RunnerPool, number: int, case: Case) -> Outcome:
        folder = self.folder / str(number)
        folder.mkdir()
        source = folder / case.name.replace("/", "_")
        source.write_bytes(case.data)
        begun = time.monotonic()
        try:
            async with pool.lend() as runner, _watched(runner.pid) as memory:
                result, message, typed = await self._execute(runner, folder, source)
        finally:
            shutil.rmtree(folder)
        return Outcome(
            case=case,
            result=result,
            message=message,
            typed=typed,
            seconds=time.monotonic() - begun,
            private=memory["private"],
            resident=memory["resident"],
        )

    async def _execute(self, runner: RunnerProcess, folder: Path, source: Path) -> tuple[str, str, bool]:
        order = RunnerOrder(
            job_id="job_hostile",
            attempt=1,
            steps=self.steps,
            output=self.output,
            input_path=str(source),
            output_path=str(folder / "output.mp4"),
            inference=self.inference,
        )
        reports: list[RunnerReport] = []
        try:
            await runner.send(order)
            async with aclosing(runner.reports()) as stream:
                reports.extend([report async for report in stream])
        except FramewireError as error:  # what the worker would tell of a runner that died
            return error.code, error.message, False
        return (*_told(reports), True)


def _told(reports: list[RunnerReport]) -> tuple[str, str]:
    last = reports[-1]
    if last.WhichOneof("kind") == "failed":
        return last.failed.error.code, last.failed.error.message
    warnings = [report.log.text for report in reports if report.WhichOneof("kind") == "log"]
    return ("partly" if warnings else "done"), "; ".join(warnings)


@contextlib.asynccontextmanager
async def _watched(pid: int) -> AsyncIterator[Mapping[str, int]]:
    """The most memory the process has had, as far as looking now and then can tell."""
    most = {"private": 0, "resident": 0}

    async def look() -> None:
        with contextlib.suppress(OSError):
            while True:
                status = Path(f"/proc/{pid}/status").read_text()
                most["private"] = max(most["private"], _kilobytes(status, "RssAnon:") << 10)
                most["resident"] = max(most["resident"], _kilobytes(status, "VmHWM:") << 10)
                await asyncio.sleep(LOOK_SECONDS)

    task = asyncio.create_task(look())
    try:
        yield most
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def _kilobytes(status: str, name: str) -> int:
    _, found, rest = status.partition(name)
    return int(rest.split()[0]) if found else 0
