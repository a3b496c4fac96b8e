"""Runners kept ready, so that a job starts without the time that imports take."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import shutil
from collections.abc import AsyncIterator, Callable

from coordinator.ahead import RunnerPlace
from coordinator.child import RunnerProcess, crashed, to_the_end
from coordinator.settings import RunnerSettings
from framewire.errors import WorkerError

log = logging.getLogger(__name__)


class RunnerPool:
    """Lends runners, with one started ahead: its imports are done by the time it is needed.

    The next is started a while after one was taken: it would take the processor from the job that begins.
    """

    def __init__(
        self,
        settings: RunnerSettings,
        place: Callable[[], RunnerPlace] | None = None,
        *,
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        """`place`: makes a new one for a runner; None: each learns from its order where it will work.

        `changed` is called when `warm` may be another.
        """
        self._settings = settings
        self._place = place
        self._changed = changed
        self._spare: asyncio.Task[RunnerProcess] | None = None
        self._refill: asyncio.TimerHandle | None = None
        self._taking = asyncio.Lock()
        self._stopped = False

    @property
    def warm(self) -> int:
        """Runners that are ready for a job that would come now."""
        spare = self._spare
        return int(spare is not None and spare.done() and not spare.exception() and spare.result().warm)

    async def start(self) -> None:
        """Start the first spare; returns without waiting for it."""
        self._replenish()

    @contextlib.asynccontextmanager
    async def lend(self, *, ahead: bool = True) -> AsyncIterator[RunnerProcess]:
        """A runner for one job; it is stopped at the end, however that comes. Its folder is the borrower's to remove.

        Not `ahead`: one that learns from its order what it may reach, and has to be started first.
        """
        runner = await (self._take() if ahead else RunnerProcess.start(self._settings))
        try:
            yield runner
        finally:
            await to_the_end(runner.stop())

    async def stop(self) -> None:
        """Stop the spare. Those that are lent are stopped by their borrowers. Idempotent."""
        self._stopped = True
        if self._refill is not None:
            self._refill.cancel()
        spare, self._spare = self._spare, None
        if spare is not None:
            with contextlib.suppress(WorkerError):
                await (await spare).stop()

    async def _take(self) -> RunnerProcess:
        async with self._taking:
            runner = await self._from_spare()
            if not runner.alive:
                log.warning("the spare runner ended while it waited")
                await self._bury(runner)
                runner = await self._from_spare()
            return runner

    async def _from_spare(self) -> RunnerProcess:
        spare = self._spare or self._replenish()
        try:
            runner = await asyncio.shield(spare)  # a borrower that is cancelled leaves the spare to the next
        except WorkerError:
            self._spare = None
            raise
        self._spare = None
        if self._refill is not None:
            self._refill.cancel()
        self._refill = asyncio.get_running_loop().call_later(self._settings.refill_delay, self._refill_now)
        return runner

    def _refill_now(self) -> None:
        if self._spare is None and not self._stopped:
            try:
                self._replenish()
            except WorkerError as error:
                log.warning("no runner is started ahead: %s", error.message)

    async def _bury(self, runner: RunnerProcess) -> None:
        await runner.stop()
        if runner.folder is not None:
            await asyncio.to_thread(shutil.rmtree, runner.folder, ignore_errors=True)

    def _replenish(self) -> asyncio.Task[RunnerProcess]:
        if self._stopped:
            raise crashed("the worker stops")
        try:
            place = self._place() if self._place else None
        except OSError as error:
            raise crashed(f"there is no folder for a runner: {error}") from error
        self._spare = asyncio.create_task(self._start(place), name="spare runner")
        return self._spare

    async def _start(self, place: RunnerPlace | None) -> RunnerProcess:
        runner = await RunnerProcess.start(self._settings, place)
        runner.when_ready(self._changed)
        return runner
