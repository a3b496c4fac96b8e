"""The parent's side of a runner process.

Both ways, messages are a 4-byte big-endian length and that many bytes of protobuf: one RunnerOrder down
stdin, RunnerReports up stdout until `done` or `failed`. The end of stdin tells the runner to stop at once,
so that it never outlives its worker.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncGenerator, Callable, Coroutine
from pathlib import Path
from typing import Final

from google.protobuf.message import DecodeError

from coordinator.ahead import RunnerPlace
from coordinator.settings import RunnerSettings
from framewire.errors import ErrorCode, WorkerError
from framewire.work.v1.work_pb2 import RunnerOrder, RunnerReport

log = logging.getLogger(__name__)

_LENGTH: Final = 4
_LARGEST_REPORT: Final = 1 << 20
_LAST: Final = frozenset({"done", "failed"})


class RunnerProcess:
    """One runner: `send` an order, read its `reports`, `stop` it in any case."""

    def __init__(self, process: Process, settings: RunnerSettings, folder: Path | None = None) -> None:
        if process.stdin is None or process.stdout is None:
            raise ValueError("a runner needs pipes for stdin and stdout")
        self._process = process
        self._stdin, self._stdout = process.stdin, process.stdout
        self._settings = settings
        self._stopped = False
        self._first = asyncio.create_task(self._read(), name="first report of a runner")
        self._first.add_done_callback(_retrieve)
        self._first_is_told = False
        self.folder = folder
        """The only one it can reach; None when its order will say that."""

    @classmethod
    async def start(cls, settings: RunnerSettings, place: RunnerPlace | None = None) -> RunnerProcess:
        """Start one. Raises WorkerError (RUNNER_CRASHED, retryable) when the system cannot."""
        try:
            process = await asyncio.create_subprocess_exec(
                *settings.command,
                stdin=PIPE,
                stdout=PIPE,
                env={**settings.environment, **(place.variables if place else {})},
                start_new_session=True,  # a Ctrl-C in the terminal is for the worker, which stops its runners itself
            )
        except OSError as error:
            raise crashed(f"the runner cannot be started: {error}") from error
        return cls(process, settings, place.folder if place else None)

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether it has not ended yet, as far as is known."""
        return self._process.returncode is None

    @property
    def warm(self) -> bool:
        """Whether it has said that it is ready, and has not ended since, as far as is known."""
        return self.alive and _says_ready(self._first)

    def when_ready(self, call: Callable[[], None]) -> None:
        """Have `call` called once it is ready, or will never be."""
        self._first.add_done_callback(lambda _: call())

    async def send(self, order: RunnerOrder) -> None:
        """Hand over the job. Raises WorkerError (RUNNER_CRASHED, retryable) when nobody is there to take it."""
        payload = order.SerializeToString()
        try:
            self._stdin.write(len(payload).to_bytes(_LENGTH, "big") + payload)
            await self._stdin.drain()
        except OSError:
            raise await self._death() from None

    async def reports(self) -> AsyncGenerator[RunnerReport, None]:
        """What it reports, ending after `done` or `failed`.

        Raises WorkerError (RUNNER_CRASHED, retryable) when it dies before, says nothing for too long or
        says what cannot be understood.
        """
        last = False
        while not last:
            report = await self._next()
            last = report.WhichOneof("kind") in _LAST
            if report.WhichOneof("kind") != "ready":
                yield report

    async def stop(self) -> None:
        """End it and whatever it started: SIGTERM, then SIGKILL after the grace. Idempotent."""
        if self._stopped:
            return  # by now the number of its process group may be another's
        self._stdin.close()
        self._first.cancel()
        await asyncio.wait({self._first})  # two cannot read at once
        if self.alive:
            self._signal(signal.SIGTERM)
            await self._ended()
        self._signal(signal.SIGKILL)
        if not await self._ended():
            log.error("runner %d was killed and does not end", self.pid)
        self._stopped = True

    async def _next(self) -> RunnerReport:
        try:
            async with asyncio.timeout(self._settings.silence):
                if self._first_is_told:
                    return await self._read()
                report = await asyncio.shield(self._first)
                self._first_is_told = True
                return report
        except asyncio.IncompleteReadError:
            raise await self._death() from None
        except TimeoutError:
            raise crashed(f"the runner said nothing for {self._settings.silence:g} s and was killed") from None
        except DecodeError:
            raise crashed("the runner sent a report that cannot be read") from None

    async def _read(self) -> RunnerReport:
        size = int.from_bytes(await self._stdout.readexactly(_LENGTH), "big")
        if size > _LARGEST_REPORT:
            raise crashed(f"the runner announced a report of {size} bytes")
        return RunnerReport.FromString(await self._stdout.readexactly(size))

    async def _death(self) -> WorkerError:
        """The error that says how it died; it has closed its pipes, so that its end is near or forced."""
        try:
            async with asyncio.timeout(self._settings.grace):
                code = await self._process.wait()
        except TimeoutError:
            return crashed("the runner closed its pipes without a report")
        if code >= 0:
            return crashed(f"the runner exited with code {code} without a report")
        return crashed(f"the runner was killed by {_signal_name(-code)}{_hint(-code)}")

    def _signal(self, number: signal.Signals) -> None:
        """To the whole process group: it leads one of its own."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, number)

    async def _ended(self) -> bool:
        """Whether it ends within the grace.

        What it still says is read: asyncio does not call a process over while its pipe waits for a reader, and the
        pipe closes now and not when it is collected.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._settings.grace):
                while await self._stdout.read(_LARGEST_REPORT):
                    pass
                await self._process.wait()
        return not self.alive


async def to_the_end(stopping: Coroutine[None, None, None]) -> None:
    """Await a bounded coroutine to its end, also when the task that needs it is cancelled meanwhile."""
    task = asyncio.ensure_future(stopping)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task})
        raise


def _says_ready(first: asyncio.Task[RunnerReport]) -> bool:
    """Whether this, a runner's first report, is there and says so."""
    if not first.done() or first.cancelled() or first.exception() is not None:
        return False
    return first.result().WhichOneof("kind") == "ready"


def _retrieve(first: asyncio.Task[RunnerReport]) -> None:
    """A runner that ends before its first report is nobody's fault until somebody asks for it."""
    if not first.cancelled():
        first.exception()


def crashed(message: str) -> WorkerError:
    """RUNNER_CRASHED, worth another try."""
    return WorkerError(message, code=ErrorCode.RUNNER_CRASHED, retryable=True)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _hint(number: int) -> str:
    return " (out of memory?)" if number == signal.SIGKILL else ""
