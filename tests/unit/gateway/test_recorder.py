"""The recorder: acknowledged only when it is stored."""

from __future__ import annotations

import asyncio

import pytest

from framewire.db.jobs import JobStore
from framewire.errors import ErrorCode, Unavailable
from framewire.testing.bus import MemoryBus
from framewire.v1.asset_pb2 import Asset
from framewire.v1.job_pb2 import JOB_STATE_FAILED, Event, Progress, StatusChange
from gateway.recorder import KEYS, Recorder


class Rows:
    """Stands for the job store: remembers what was folded, refuses when told to."""

    def __init__(self) -> None:
        self.folded: list[list[int]] = []
        self.away = False
        self.poison: set[int] = set()

    async def fold(self, events, *, keys) -> None:
        if self.poison & {event.number for event in events}:
            raise ValueError("this can never be stored")
        if self.away:
            raise Unavailable("no answer", code=ErrorCode.DATABASE_UNAVAILABLE)
        self.folded.append([event.number for event in events])


async def say(bus: MemoryBus, count: int) -> None:
    for _ in range(count):
        last = await bus.events.last("job_a")
        event = Event(job_id="job_a", progress=Progress(stage="process"))
        await bus.events.append(event, after=last.number if last else 0)


def a_recorder(bus: MemoryBus, rows: Rows) -> Recorder:
    jobs: JobStore = rows  # type: ignore[assignment]  # only `fold` is used
    return Recorder(jobs, bus.events)


async def test_events_that_are_there_are_folded_together():
    bus, rows = MemoryBus(), Rows()
    await say(bus, 10)
    await a_recorder(bus, rows).round()
    assert rows.folded == [list(range(1, 11))]


async def test_progress_waits_for_company_and_the_end_of_a_job_does_not():
    bus, rows = MemoryBus(), Rows()
    jobs: JobStore = rows  # type: ignore[assignment]  # only `fold` is used
    await say(bus, 1)
    round_ = asyncio.create_task(Recorder(jobs, bus.events, together=3600).round())
    await say(bus, 1)
    done, _ = await asyncio.wait({round_}, timeout=0.05)
    assert not done
    await bus.events.append(Event(job_id="job_a", status=StatusChange(state=JOB_STATE_FAILED)), after=2)
    await asyncio.wait_for(round_, 10)
    assert rows.folded == [[1, 2, 3]]


async def test_a_batch_that_could_not_be_stored_comes_before_the_next():
    bus, rows = MemoryBus(), Rows()
    recorder = a_recorder(bus, rows)
    await say(bus, 2)
    rows.away = True
    with pytest.raises(Unavailable):
        await recorder.round()
    await say(bus, 1)
    rows.away = False
    await recorder.round()
    await recorder.round()
    assert rows.folded == [[1, 2], [3]]


async def test_what_was_not_stored_comes_again_after_a_restart():
    bus, rows = MemoryBus(), Rows()
    first = a_recorder(bus, rows)
    await say(bus, 1)
    await first.round()
    await say(bus, 2)
    rows.away = True
    with pytest.raises(Unavailable):
        await first.round()
    await first.close()
    rows.away = False
    await a_recorder(bus, rows).round()
    assert rows.folded == [[1], [2, 3]]


def test_a_result_and_its_thumbnail_lie_where_their_attempt_put_them():
    event = Event(job_id="job_a", workspace_id="w", attempt=2)
    assert KEYS.result(event, Asset(asset_id="ast_b")) == "w/results/job_a/2/ast_b"
    assert KEYS.thumbnail(event) == "w/thumbnails/job_a/2.jpg"


async def test_a_feed_that_was_lost_is_opened_again(monkeypatch):
    bus, rows = MemoryBus(), Rows()
    await say(bus, 1)
    opened = await bus.events.open_feed("recorder")

    async def lost(**_):
        raise Unavailable("the consumer is gone", code=ErrorCode.BUS_UNAVAILABLE)

    monkeypatch.setattr(opened, "fetch", lost)
    feeds = [opened, await bus.events.open_feed("recorder")]

    async def open_feed(name: str):
        return feeds.pop(0)

    monkeypatch.setattr(bus.events, "open_feed", open_feed)
    recorder = a_recorder(bus, rows)
    with pytest.raises(Unavailable):
        await recorder.round()
    await recorder.round()
    assert rows.folded == [[1]]


async def test_an_event_that_can_never_be_stored_holds_up_no_other_and_is_named_in_the_log(caplog):
    bus, rows = MemoryBus(), Rows()
    recorder = a_recorder(bus, rows)
    rows.poison = {2}
    await say(bus, 3)
    for _ in range(2):
        with pytest.raises(ValueError, match="never"):
            await recorder.round()
    await recorder.round()
    await say(bus, 1)
    await recorder.round()
    assert rows.folded == [[1], [3], [4]]
    assert "event 2 of job_a is not recorded" in caplog.text


async def test_a_database_that_is_away_makes_no_event_be_passed_over():
    bus, rows = MemoryBus(), Rows()
    recorder = a_recorder(bus, rows)
    rows.away = True
    await say(bus, 2)
    for _ in range(5):
        with pytest.raises(Unavailable):
            await recorder.round()
    rows.away = False
    await recorder.round()
    assert rows.folded == [[1, 2]]
