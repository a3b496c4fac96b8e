"""Carries dispositions out: what the job's log says of its end here, and what becomes of the order."""

from __future__ import annotations

import logging

from coordinator.disposition import (
    Cancelled,
    Disposition,
    Done,
    Fenced,
    GiveUp,
    Interrupted,
    Outdated,
    RetryAfter,
    is_poison,
)
from coordinator.worker.history import history_of
from coordinator.worker.hold import Hold
from coordinator.worker.journal import Journal
from coordinator.worker.patience import patiently
from coordinator.worker.run import JobRun
from coordinator.worker.tools import Tools
from framewire.bus.interface import EventConflict
from framewire.errors import Unavailable
from framewire.jobs.states import ends_job
from framewire.v1.job_pb2 import (
    JOB_STATE_CANCELLED,
    JOB_STATE_FAILED,
    JOB_STATE_QUEUED,
    JOB_STATE_SUCCEEDED,
    Error,
    Event,
    StatusChange,
)

log = logging.getLogger(__name__)


async def settle(disposition: Disposition, run: JobRun, hold: Hold, tools: Tools) -> None:
    """Carry out `disposition`. Never raises: an order that cannot be settled is handed out again by the queue."""
    settlement = _Settlement(run, hold, tools)
    try:
        try:
            if run.journal is not None:
                await run.journal.idle()
            await settlement.carry_out(disposition)
        except EventConflict as conflict:
            await settlement.carry_out(Fenced(last=conflict.last))
    except Unavailable as error:
        log.warning("the order is left to the queue, which hands it out again: %s", error.message)


class _Settlement:
    def __init__(self, run: JobRun, hold: Hold, tools: Tools) -> None:
        self._run = run
        self._hold = hold
        self._tools = tools

    async def carry_out(self, disposition: Disposition) -> None:
        match disposition:
            case Done():
                await self._done(disposition)
            case RetryAfter():
                await self._retry(disposition)
            case GiveUp():
                await self._give_up(disposition)
            case Interrupted():
                await self._interrupted()
            case Cancelled():
                await self._cancelled()
            case Fenced():
                await self._fenced(disposition)
            case Outdated():
                await self._hold.ack()
                log.info("a newer order has taken this one's place")

    async def _done(self, done: Done) -> None:
        await self._say(StatusChange(state=JOB_STATE_SUCCEEDED, outputs=[done.output], fidelity=done.fidelity))
        self._tools.transfer.keep(self._run.keys.result, self._run.keys.thumbnail)
        await self._hold.ack()
        await self._discard()
        log.info("succeeded")

    async def _retry(self, retry: RetryAfter) -> None:
        log.warning("attempt failed, next one in %g s: %s", retry.delay, retry.why)
        if self._begun:
            await self._say(StatusChange(state=JOB_STATE_QUEUED, message=retry.why))
        await self._hold.retry(retry.delay)
        await self._discard()

    async def _give_up(self, give_up: GiveUp) -> None:
        error = give_up.error
        log.warning("failed: %s: %s", error.code, error.message)
        failure = Error(code=error.code, message=error.message)
        await self._say(StatusChange(state=JOB_STATE_FAILED, message=error.message, error=failure))
        await self._bury_poison(failure)
        await self._hold.ack()
        await self._discard()

    async def _interrupted(self) -> None:
        """The next attempt gets this one's number and its key: it may begin only when nothing can be stored there."""
        certain = await self._discard()
        if journal := self._begun:
            status = StatusChange(state=JOB_STATE_QUEUED, message="the worker stopped; another one goes on")
            await journal.status(status, attempt=journal.attempt - (1 if certain else 0))
        await self._hold.retry(0)
        log.info("interrupted")

    async def _cancelled(self) -> None:
        await self._say(StatusChange(state=JOB_STATE_CANCELLED, message="cancelled"))
        await self._hold.ack()
        await self._discard()
        log.info("cancelled")

    async def _fenced(self, fenced: Fenced) -> None:
        """Without a say any more. An order whose job ended goes; else whoever took over has it."""
        last = fenced.last
        if last is not None and ends_job(last):
            await self._bury_again(last)
            await self._hold.ack()
        else:
            log.warning("another attempt has taken over")
        await self._discard()

    async def _bury_poison(self, error: Error) -> None:
        if is_poison(error.code):
            await patiently(lambda: self._bury(error), patience=self._tools.settings.patience)

    async def _bury_again(self, last: Event) -> None:
        """A worker may have died between the end of the log and the burial; a second burial does no harm."""
        if last.status.state == JOB_STATE_FAILED:
            await self._bury_poison(last.status.error)

    async def _bury(self, error: Error) -> None:
        order, bus = self._run.order, self._tools.bus
        history = await history_of(order.job_id, bus.events)
        await bus.dead_letters.bury(order, f"{error.code}: {error.message}", history)

    async def _discard(self) -> bool:
        """Delete what this attempt has stored and the log does not name; whether it is certain that none is left."""
        keys = self._run.keys
        return await self._tools.transfer.discard(keys.result, keys.thumbnail, keys.segments)

    async def _say(self, status: StatusChange) -> None:
        """Write into the job's log, opening it for a job that was halted before that."""
        settings = self._tools.settings
        if self._run.journal is None:
            self._run.journal = await Journal.open(
                self._tools.bus.events, self._run.order, worker=settings.name, patience=settings.patience
            )
        await self._run.journal.status(status)

    @property
    def _begun(self) -> Journal | None:
        """The journal if this attempt is in it."""
        journal = self._run.journal
        return journal if journal is not None and journal.begun else None
