"""From a delivered order to its disposition."""

from __future__ import annotations

import asyncio
import logging
from datetime import datetime
from typing import Final

from coordinator.disposition import (
    Cancelled,
    Disposition,
    Done,
    Fenced,
    GiveUp,
    Interrupted,
    Outdated,
    after_failure,
    exhausted,
)
from coordinator.moments import Moments
from coordinator.worker.attempt import Attempt
from coordinator.worker.journal import Journal
from coordinator.worker.keys import AttemptKeys
from coordinator.worker.patience import patiently
from coordinator.worker.tools import Tools
from framewire.bus.interface import EventConflict
from framewire.errors import ErrorCode, FramewireError, WorkerError
from framewire.work.v1.work_pb2 import JobOrder

log = logging.getLogger(__name__)

LINGER_INTERRUPTED: Final = 2.0
LINGER_FAILED: Final = 10.0
"""Seconds within which segments closed by the end of an attempt are still committed."""


class JobRun:
    """One job as long as this worker has it. `halt` ends it early; `run` returns how it ended, and never raises."""

    def __init__(
        self, order: JobOrder, tools: Tools, *, placement: str = "own", stored: datetime | None = None
    ) -> None:
        """`stored`: when the order was queued."""
        self.order = order
        self._moments = Moments()
        if stored is not None:
            self._moments.note("order queued", stored)
        self._moments.note("order pulled")
        self._placement = placement
        self.journal: Journal | None = None
        """None until the job's log was read."""
        self._tools = tools
        self._work: asyncio.Task[Disposition] | None = None
        self._halted: Cancelled | Interrupted | None = None

    def halt(self, why: Cancelled | Interrupted) -> None:
        """Stop at the next await; the first reason counts. What is stored already stays done."""
        if self._halted is None:
            self._halted = why
            if self._work is not None:
                self._work.cancel()

    async def run(self) -> Disposition:
        """Take the job as far as it goes. The runner and the job's folder are gone when this returns."""
        if self._halted is not None:
            return self._halted
        self._work = asyncio.create_task(self._attempt(), name=f"work on {self.order.job_id}")
        try:
            await asyncio.wait({self._work})
        finally:
            self._work.cancel()
            await asyncio.wait({self._work})
        return self._disposition(self._work)

    @property
    def keys(self) -> AttemptKeys:
        """Where this attempt stores what it makes."""
        return AttemptKeys.of(self.order, self.journal.attempt if self.journal else 0)

    async def _attempt(self) -> Disposition:
        bus, settings = self._tools.bus, self._tools.settings
        self.journal = await Journal.open(bus.events, self.order, worker=settings.name, patience=settings.patience)
        self._moments.note("log read")
        if self.journal.is_of_later_order:
            return Outdated()
        if await patiently(lambda: bus.cancellations.is_requested(self.order.job_id), patience=settings.patience):
            return Cancelled()
        if self.journal.attempt >= self._max_attempts:
            return GiveUp(error=exhausted(self._max_attempts, "the worker of the last one was lost"))
        if self._halted is not None:  # the cancellation may have been swallowed: see framewire.lifecycle.end
            return self._halted
        self._moments.note("cancellation looked for")
        await self.journal.begin(self._placement)
        self._moments.note("attempt begun")
        return await self._within_limit(self.journal)

    async def _within_limit(self, journal: Journal) -> Done:
        attempt = Attempt(self.order, journal, self._tools, self.keys, linger=self._linger, moments=self._moments)
        limit = asyncio.timeout(self._tools.settings.attempt_limit)
        try:
            async with limit:
                return await attempt.run()
        except TimeoutError:
            if not limit.expired():
                raise
            message = f"not finished within {self._tools.settings.attempt_limit:g} s"
            raise WorkerError(message, code=ErrorCode.DEADLINE_EXCEEDED) from None

    def _linger(self) -> float:
        """Seconds an attempt that ends early may take to commit what it has closed."""
        match self._halted:
            case Cancelled():
                return 0.0
            case Interrupted():
                return LINGER_INTERRUPTED
            case None:
                return LINGER_FAILED

    def _disposition(self, work: asyncio.Task[Disposition]) -> Disposition:
        if work.cancelled():
            return self._halted or Interrupted()
        error = work.exception()
        if error is None:
            return work.result()
        if isinstance(error, EventConflict):
            return Fenced(last=error.last)
        if self._halted is not None:
            return self._halted  # a runner that is being stopped may well complain
        return after_failure(
            _typed(error),
            attempt=self._attempts_so_far,
            max_attempts=self._max_attempts,
            first_delay=self._tools.settings.retry_delay,
        )

    @property
    def _attempts_so_far(self) -> int:
        return self.journal.attempt if self.journal and self.journal.begun else 0

    @property
    def _max_attempts(self) -> int:
        return max(self.order.max_attempts, 1)


def _typed(error: BaseException) -> FramewireError:
    if isinstance(error, FramewireError):
        return error
    log.error("an attempt failed for a reason nobody thought of", exc_info=error)
    return WorkerError(f"{type(error).__name__}: {error}", code=ErrorCode.INTERNAL, retryable=True)
