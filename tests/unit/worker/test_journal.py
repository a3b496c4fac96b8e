"""The fence, and what becomes of entries whose confirmation gets lost."""

from __future__ import annotations

import asyncio

import pytest
from worker_rig import WITHIN

from coordinator.worker.journal import Journal
from framewire.bus.interface import EventConflict
from framewire.errors import ErrorCode, Unavailable
from framewire.testing.bus import MemoryEventLog
from framewire.v1.job_pb2 import JOB_STATE_FAILED, JOB_STATE_QUEUED, Event, LogLine, Progress, StatusChange
from framewire.work.v1.work_pb2 import JobOrder

ORDER = JobOrder(job_id="job_1", workspace_id="ws")


class LossyLog(MemoryEventLog):
    """Away for the next `lost_before` appends; then `lost_after` take effect, but nobody learns of it."""

    def __init__(self) -> None:
        super().__init__()
        self.lost_before = self.lost_after = 0
        self.held_up: asyncio.Event | None = None

    async def append(self, event: Event, *, after: int) -> int:
        if self.held_up is not None:
            await self.held_up.wait()
        if self.lost_before:
            self.lost_before -= 1
            raise Unavailable("away", code=ErrorCode.BUS_UNAVAILABLE)
        number = await super().append(event, after=after)
        if self.lost_after:
            self.lost_after -= 1
            raise Unavailable("no answer", code=ErrorCode.BUS_UNAVAILABLE)
        return number

    async def texts(self) -> list[str]:
        return [Event.FromString(stored).log.text for stored in self._stored]


async def begun(log: MemoryEventLog) -> Journal:
    journal = await Journal.open(log, ORDER, worker="w1", patience=WITHIN)
    await journal.begin()
    return journal


async def test_an_entry_is_repeated_until_the_log_is_back() -> None:
    log = LossyLog()
    journal = await begun(log)
    log.lost_before = 2
    await journal.log(LogLine(text="once"))
    assert await log.texts() == ["", "once"]


async def test_an_entry_whose_confirmation_was_lost_is_not_written_twice() -> None:
    log = LossyLog()
    journal = await begun(log)
    log.lost_after = 1
    await journal.log(LogLine(text="once"))
    await journal.log(LogLine(text="next"))
    assert await log.texts() == ["", "once", "next"]


async def test_progress_that_was_given_up_but_did_arrive_does_not_fence_its_own_writer() -> None:
    log = LossyLog()
    journal = await begun(log)
    log.lost_after = 1
    await journal.progress(Progress(fraction=0.5))
    await journal.log(LogLine(text="next"))
    assert await log.texts() == ["", "", "next"]


async def test_progress_is_forgotten_while_the_log_is_away() -> None:
    log = LossyLog()
    journal = await begun(log)
    log.lost_before = 1
    await journal.progress(Progress(fraction=0.5))
    assert await log.texts() == [""]


async def test_an_entry_of_somebody_else_fences_every_later_one() -> None:
    log = LossyLog()
    journal = await begun(log)
    other = await begun(log)
    for _ in range(2):
        with pytest.raises(EventConflict) as conflict:
            await journal.progress(Progress(fraction=0.5))
    assert conflict.value.last is not None
    assert conflict.value.last.attempt == other.attempt == 2


async def test_a_lost_confirmation_does_not_hide_the_entry_of_somebody_else() -> None:
    log = LossyLog()
    journal = await begun(log)
    log.lost_after = 1
    await journal.progress(Progress(fraction=0.5))
    await begun(log)
    with pytest.raises(EventConflict):
        await journal.log(LogLine(text="too late"))


async def test_a_cancelled_writer_does_not_tear_an_entry_apart() -> None:
    log = LossyLog()
    journal = await begun(log)
    log.held_up = asyncio.Event()
    writing = asyncio.create_task(journal.log(LogLine(text="first")))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    writing.cancel()
    await asyncio.wait({writing})
    log.held_up.set()
    await journal.idle()
    await journal.log(LogLine(text="second"))
    assert await log.texts() == ["", "first", "second"]


async def test_a_log_that_has_ended_is_not_opened() -> None:
    log = MemoryEventLog()
    journal = await begun(log)
    await journal.status(StatusChange(state=JOB_STATE_FAILED))
    with pytest.raises(EventConflict):
        await Journal.open(log, ORDER, worker="w2", patience=WITHIN)


async def test_the_next_attempt_counts_on_from_the_newest_entry() -> None:
    log = MemoryEventLog()
    first = await begun(log)
    await first.status(StatusChange(state=JOB_STATE_QUEUED), attempt=0)
    second = await begun(log)
    assert (first.attempt, second.attempt) == (1, 1)
    await second.status(StatusChange(state=JOB_STATE_QUEUED))
    assert (await begun(log)).attempt == 2
