"""One child process under supervision: started, known to be ready, restarted when it dies or hangs, stopped."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from framewire.errors import ErrorCode, LocalError
from framewire.lifecycle import ALIVE_FD, READY_FD
from framewire.stack import launch
from framewire.stack.logfiles import tail
from framewire.stack.pulse import Heartbeat, Vigil, silence
from framewire.stack.spec import Backoff, ChildSpec, Phase

_PROBE_PAUSE = 0.05
_READY_LINE_LIMIT = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildContext:
    """What all children of a supervisor share."""

    environment: Mapping[str, str]
    """What every child inherits."""
    started: Callable[[int], None]
    """Told the session id of every process that is started."""
    gone: Callable[[int], None]
    """Told the session id of every process that has ended, and whose session has."""
    changed: Callable[[Child], None]
    """Told of every change of a child."""
    start_timeout: float = 90.0
    """Seconds a child has to become ready."""
    backoff: Backoff = field(default_factory=Backoff)
    vigil: Vigil = field(default_factory=Vigil)
    """How a child that hangs is noticed."""


class Child:
    """A supervised process. `start` once, `stop` any number of times."""

    def __init__(self, spec: ChildSpec, context: ChildContext) -> None:
        self.spec = spec
        self.phase = Phase.WAITING
        self.note = ""
        """Why it is in this phase, for people; empty when that is plain."""
        self.facts: Mapping[str, object] = {}
        """What it said of itself when it became ready."""
        self.restarts = 0
        self._context = context
        self._process: asyncio.subprocess.Process | None = None
        self._heartbeat: Heartbeat | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._started_at = 0.0

    @property
    def pid(self) -> int | None:
        """Process id; None while there is no process."""
        return self._process.pid if self._process else None

    async def start(self) -> None:
        """Start it and wait until it is ready; from then on restart it when it dies or hangs.

        Raises LocalError (STACK_START_FAILED) with the end of its log when it exits or takes too long.
        """
        await self._launch()
        self._keeper = asyncio.create_task(self._keep_alive(), name=f"keep {self.spec.name}")

    async def stop(self, *, hurry: bool = False) -> None:
        """TERM, a bounded wait, KILL to its whole session. With `hurry`: KILL at once."""
        if self._keeper:
            self._keeper.cancel()
            await asyncio.wait([self._keeper])
        if self._process:
            await self._end(0.0 if hurry else self.spec.stop_timeout)
        self._become(Phase.STOPPED)

    async def _launch(self) -> None:
        reading, writing = os.pipe()
        try:
            await self._spawn(writing)
        except BaseException as error:
            os.close(reading)
            if isinstance(error, OSError):
                message = f"{self.spec.name} cannot be started: {error}"
                raise LocalError(message, code=ErrorCode.STACK_START_FAILED) from error
            raise
        finally:
            os.close(writing)
        self.facts = await self._until_ready(reading)
        if self.spec.on_ready and self.pid:
            self.spec.on_ready(self.pid)
        self._become(Phase.READY)

    async def _spawn(self, ready: int) -> None:
        spec = self.spec
        self._heartbeat = Heartbeat() if spec.heartbeat else None
        handed = {READY_FD: ready} if spec.probe is None else {}
        if self._heartbeat:
            handed[ALIVE_FD] = self._heartbeat.writing
        with self._closing_on_failure(), spec.log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-I", "-S", launch.__file__, str(os.getpid())),
                *spec.argv,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**self._context.environment, **spec.env, **{name: str(end) for name, end in handed.items()}},
                cwd=spec.log.parent,
                pass_fds=tuple(handed.values()),
                start_new_session=True,  # Ctrl-C on the terminal is the supervisor's to handle
            )
            if self._heartbeat:
                self._heartbeat.close_writing()
        self._started_at = time.monotonic()
        self._context.started(self._process.pid)
        self._become(Phase.STARTING)

    @contextlib.contextmanager
    def _closing_on_failure(self) -> Iterator[None]:
        try:
            yield
        except BaseException:
            self._close_heartbeat()
            raise

    def _close_heartbeat(self) -> None:
        if self._heartbeat:
            self._heartbeat.close()
            self._heartbeat = None

    async def _until_ready(self, reading: int) -> Mapping[str, object]:
        """What the child says of itself. Ends the process when it does not become ready."""
        assert self._process  # noqa: S101 - _spawn has set it
        ready = asyncio.ensure_future(self._ready(reading))
        ended = asyncio.ensure_future(self._process.wait())
        timeout = self._context.start_timeout
        try:
            await asyncio.wait((ready, ended), timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
            if ended.done() or not ready.done():
                raise self._failure(ended.result() if ended.done() else None)
            return ready.result()
        except BaseException:
            await asyncio.shield(self._end(0.0))
            raise
        finally:
            ready.cancel()
            ended.cancel()
            await asyncio.gather(ready, ended, return_exceptions=True)

    async def _ready(self, reading: int) -> Mapping[str, object]:
        if self.spec.probe is None:
            return await _read_facts(reading)
        os.close(reading)
        while not await self.spec.probe.ready():  # noqa: ASYNC110 - another process's state: nothing here can signal it
            await asyncio.sleep(_PROBE_PAUSE)
        return {}

    def _failure(self, code: int | None) -> LocalError:
        what = _ending(code) if code is not None else f"was not ready after {self._context.start_timeout:g} s"
        lines = tail(self.spec.log)
        message = f"{self.spec.name} {what}; log {self.spec.log}" + (f", which ends:\n{lines}" if lines else "")
        return LocalError(message, code=ErrorCode.STACK_START_FAILED)

    async def _keep_alive(self) -> None:
        deaths = 0
        while self._process:
            why = await self._until_it_fails(self._process)
            await self._end(0.0)  # with what it left in its session
            lived = time.monotonic() - self._started_at
            deaths = 1 if lived > self._context.backoff.forget_after else deaths + 1
            await self._restart_after(self._context.backoff.delay(deaths), why)

    async def _until_it_fails(self, process: asyncio.subprocess.Process) -> str:
        """Why the process has to be started again, once it has ended or shows no sign of life."""
        ended = asyncio.ensure_future(process.wait())
        silent = asyncio.ensure_future(self._silence())
        try:
            await asyncio.wait((ended, silent), return_when=asyncio.FIRST_COMPLETED)
            return _ending(ended.result()) if ended.done() else "hangs: it has shown no sign of life for a while"
        finally:
            silent.cancel()
            ended.cancel()
            await asyncio.gather(ended, silent, return_exceptions=True)

    async def _silence(self) -> None:
        """Return when the child, which is ready, hangs; never when there is no way to tell."""
        if self.spec.probe:
            await silence(self.spec.probe.ready, self._context.vigil)
        elif self._heartbeat:
            await silence(self._heartbeat.beats, self._context.vigil)
        else:
            await asyncio.Event().wait()

    async def _restart_after(self, delay: float, why: str) -> None:
        while True:
            self.restarts += 1
            self._become(Phase.RESTARTING, f"{why}; starting it again in {delay:g} s")
            await asyncio.sleep(delay)
            try:
                return await self._launch()
            except LocalError as error:
                why = error.message.partition("\n")[0]
                delay = min(delay * 2, self._context.backoff.most)

    async def _end(self, grace: float) -> None:
        """End the process and its session. Safe to be called again."""
        process = self._process
        if process is None:
            return
        if grace and process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(grace):
                    await process.wait()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
        if self._process is process:
            self._process = None
            self._close_heartbeat()
            self._context.gone(process.pid)

    def _become(self, phase: Phase, note: str = "") -> None:
        self.phase, self.note = phase, note
        self._context.changed(self)


async def _read_facts(reading: int) -> Mapping[str, object]:
    """The one line of JSON a child writes when it is ready; waits for ever when it closes the pipe without."""
    reader = asyncio.StreamReader(limit=_READY_LINE_LIMIT)
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(reading, "rb")
    )
    try:
        line = await reader.readline()
    finally:
        transport.close()
    if not line:
        await asyncio.Event().wait()  # its exit, or the time that is up, says more
    with contextlib.suppress(ValueError):
        facts = json.loads(line)
        return facts if isinstance(facts, dict) else {}
    return {}


def _ending(code: int) -> str:
    if code >= 0:
        return f"exited with code {code}"
    with contextlib.suppress(ValueError):
        return f"was ended by {signal.Signals(-code).name}"
    return f"was ended by signal {-code}"
