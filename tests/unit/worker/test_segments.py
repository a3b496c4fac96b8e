"""What a worker keeps of a running job, and how the next attempt goes on; with scripted runners as real processes."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from worker_rig import SUCCEED, WITHIN, Rig, runs, story

from coordinator.worker.segments import Commits
from framewire.errors import ErrorCode, Unavailable
from framewire.jobs.segments import fold
from framewire.storage.keys import segment_key, segments_prefix, thumbnail_key
from framewire.testing.bus import MemoryBus
from framewire.testing.storage import MemoryObjectStore
from framewire.v1.job_pb2 import JOB_STATE_FAILED, JOB_STATE_QUEUED, JOB_STATE_RUNNING, Event, Segment, StatusChange
from framewire.work.v1.work_pb2 import JobOrder

GO_ON = [["say_resume"], *SUCCEED]


@pytest.fixture
def bus() -> MemoryBus:
    return MemoryBus(ack_wait=60.0)


class Store(MemoryObjectStore):
    """Calls `before_segment`, when there is one, before it takes a segment's bytes."""

    def __init__(self) -> None:
        super().__init__()
        self.before_segment: Callable[[], Awaitable[object]] | None = None

    async def put_file(self, key: str, path: Path, *, content_type: str = "application/octet-stream") -> None:
        if "/segments/" in key and key.endswith(".mp4") and self.before_segment is not None:
            await self.before_segment()
        await super().put_file(key, path, content_type=content_type)

    async def text(self, key: str) -> str:
        return b"".join([piece async for piece in self.read(key)]).decode()


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
def rig(bus: MemoryBus, store: Store, tmp_path: Path) -> Rig:
    return Rig(bus, store, tmp_path)


async def keys(rig: Rig, order: JobOrder) -> list[str]:
    """What lies below the job's segments, without the prefix."""
    prefix = segments_prefix(order.workspace_id, order.job_id)
    return [info.key.removeprefix(prefix) async for info in rig.store.list(prefix)]


def segments(events: list[Event]) -> list[tuple[int, int]]:
    """Attempt and index of every segment the log tells of."""
    return [(event.attempt, event.segment.index) for event in events if event.HasField("segment")]


def is_segment(index: int) -> Callable[[Event], bool]:
    return lambda event: event.HasField("segment") and event.segment.index == index


async def resumed(rig: Rig, order: JobOrder) -> str:
    """What the last attempt said it could go on behind."""
    texts = [event.log.text for event in await rig.until_end(order) if event.log.text.startswith("resumes")]
    return texts[-1]


async def test_a_closed_segment_is_in_the_store_before_the_log_tells_of_it(rig: Rig, store: Store) -> None:
    gate = rig.gate()
    async with rig.worker():
        order = await rig.submit([["segment", 0], ["segment", 1], gate.action(), *SUCCEED])
        event = await rig.until(order, is_segment(1))
        assert await keys(rig, order) == ["1/000000.mp4", "1/000000.record", "1/000001.mp4", "1/000001.record"]
        assert await store.text(segment_key("ws", order.job_id, 1, 1)) == "head:1"
        await gate.open()
        events = await rig.until_end(order)
    assert segments(events) == [(1, 0), (1, 1)]
    assert event.segment == Segment(
        index=1, first_frame=50, frames=50, start=2.0, duration=2.0, header_bytes=5, size_bytes=6,
        sha256=hashlib.sha256(b"head:1").hexdigest(), header_sha256=hashlib.sha256(b"head:").hexdigest(),
        record_sha256=hashlib.sha256(b"record 1 of attempt 1").hexdigest(),
    )  # fmt: skip


async def test_an_attempt_goes_on_behind_what_the_one_before_had_closed_when_it_died(rig: Rig) -> None:
    script = {
        "1": [["segment", 0], ["segment", 1], ["segment", 2], ["die", "SIGKILL"]],
        "2": [["say_resume"], ["segment", 3], ["die", "SIGKILL"]],
        "3": GO_ON,
    }
    async with rig.worker():
        order = await rig.submit(script)
        events = await rig.until_end(order)
    assert story(events)[-1] == "SUCCEEDED 3"
    assert segments(events) == [(1, 0), (1, 1), (1, 2), (2, 3)]
    said = [event.log.text for event in events if event.HasField("log")]
    assert said == [
        "resumes ['0', '1', '2'] ['record 2 of attempt 1']",
        "resumes ['0', '1', '2', '3'] ['record 3 of attempt 2']",
    ]


async def test_only_the_records_of_the_two_newest_segments_are_kept(rig: Rig) -> None:
    gate = rig.gate()
    async with rig.worker(slots=1):
        order = await rig.submit([*[["segment", index] for index in range(5)], gate.action(), *SUCCEED])
        await rig.until(order, is_segment(4))
        await gate.open()
        await rig.until_next_job()
        records = [key for key in await keys(rig, order) if key.endswith(".record")]
    assert records == ["1/000003.record", "1/000004.record"]


@pytest.mark.parametrize(
    ("lost", "expected"),
    [
        ("1/000000.mp4", "resumes [] []"),
        ("1/000001.mp4", "resumes ['0'] ['record 0 of attempt 1']"),
        ("1/000001.record", "resumes ['0'] ['record 0 of attempt 1']"),
    ],
)
@pytest.mark.parametrize("how", ["missing", "other bytes"])
async def test_what_can_be_gone_on_behind_ends_where_something_is_lost(
    rig: Rig, tmp_path: Path, lost: str, expected: str, how: str
) -> None:
    async with rig.worker():
        order = await rig.submit([["segment", 0], ["segment", 1], ["fail", "INFERENCE_FAILED"]])
        await rig.until_end(order)
    key = segments_prefix("ws", order.job_id) + lost
    if how == "missing":
        await rig.store.delete(key)
    else:
        (tmp_path / "other").write_text("head:X")
        await rig.store.put_file(key, tmp_path / "other")
    await retry_by_hand(rig, order, GO_ON)
    async with rig.worker():
        assert await resumed(rig, order) == expected


async def retry_by_hand(rig: Rig, order: JobOrder, script: Any) -> None:
    """Queue a failed job again as the gateway does, with another script."""
    last = await rig.bus.events.last(order.job_id)
    assert last is not None
    assert last.status.state == JOB_STATE_FAILED
    other = await rig.order(script)
    order.inputs[0].CopyFrom(other.inputs[0])
    order.max_attempts = last.attempt + 2
    await rig.say(order, attempt=last.attempt, status=StatusChange(state=JOB_STATE_QUEUED))
    await rig.bus.jobs.publish(order)


async def test_a_job_that_failed_keeps_its_segments_for_a_retry_by_hand(rig: Rig) -> None:
    async with rig.worker():
        order = await rig.submit([["segment", 0], ["segment", 1], ["fail_for_now", "INFERENCE_UNAVAILABLE"]])
        failed = await rig.until_end(order)
        assert failed[-1].status.error.code == ErrorCode.ATTEMPTS_EXHAUSTED
        await retry_by_hand(rig, order, GO_ON)
        assert await resumed(rig, order) == "resumes ['0', '1'] ['record 1 of attempt 3']"
        events = await rig.until_end(order)
    assert story(events)[-1] == "SUCCEEDED 4"


async def test_a_runner_that_can_use_nothing_of_what_was_committed_begins_again(rig: Rig) -> None:
    script = {
        "1": [["segment", 0], ["segment", 1], ["die", "SIGKILL"]],
        "2": [["segment", 0, "again"], ["die", "SIGKILL"]],
        "3": GO_ON,
    }
    async with rig.worker():
        order = await rig.submit(script)
        assert await resumed(rig, order) == "resumes ['again'] ['record 0 of attempt 2']"


async def test_a_first_attempt_does_not_read_the_log(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    def read(*_: object, **__: object) -> object:
        raise AssertionError("read")

    order = await rig.submit(SUCCEED)
    with monkeypatch.context() as patch:
        patch.setattr(rig.bus.events, "read", read)
        async with rig.worker(slots=1):
            async with asyncio.timeout(WITHIN):
                while rig.bus.jobs._entries:  # type: ignore[attr-defined]  # the log cannot be asked
                    await rig.bus.jobs.changed.wait(0.1)  # type: ignore[attr-defined]  # likewise
    assert story(await rig.until_end(order))[-1] == "SUCCEEDED 1"


async def test_what_is_closed_when_the_worker_stops_is_committed_and_costs_no_attempt(rig: Rig, store: Store) -> None:
    uploading, go = asyncio.Event(), asyncio.Event()

    async def wait() -> None:
        uploading.set()
        await go.wait()

    store.before_segment = wait
    async with rig.worker() as worker:
        order = await rig.submit([["segment", 0], ["say_pid"], ["hang"]], max_attempts=1)
        pid = int(await rig.until_said(order))
        await uploading.wait()
        stopping = asyncio.create_task(worker.stop())
        await asyncio.to_thread(_until_gone, pid)
        go.set()
        await stopping
    store.before_segment = None
    events = [event async for event in _so_far(rig, order)]
    assert segments(events) == [(1, 0)]
    assert story(events) == ["QUEUED 0", "RUNNING 1", "QUEUED 0"]
    await rig.bus.jobs.remove(order)
    other = await rig.order(GO_ON)
    order.inputs[0].CopyFrom(other.inputs[0])
    await rig.bus.jobs.publish(order)
    async with rig.worker(name="w2"):
        assert await resumed(rig, order) == "resumes ['0'] ['record 0 of attempt 1']"
        assert story(await rig.until_end(order))[-1] == "SUCCEEDED 1"


def _until_gone(pid: int) -> None:
    while runs(pid):
        os.sched_yield()


async def _so_far(rig: Rig, order: JobOrder):  # type: ignore[no-untyped-def]
    last = await rig.bus.events.last(order.job_id)
    assert last is not None
    async for event in rig.bus.events.read(order.job_id):
        yield event
        if event.number == last.number:
            return


async def test_a_segment_that_is_on_its_way_when_the_job_is_cancelled_is_not_left_behind(
    rig: Rig, store: Store
) -> None:
    uploading, go = asyncio.Event(), asyncio.Event()

    async def wait() -> None:
        uploading.set()
        await go.wait()

    store.before_segment = wait
    async with rig.worker(slots=1):
        order = await rig.submit([["segment", 0], ["hang"]])
        await uploading.wait()
        await rig.bus.cancellations.request(order.job_id)
        events = await rig.until_end(order)
        assert story(events)[-1] == "CANCELLED 1"
        go.set()
        await rig.until_next_job()
    assert await keys(rig, order) == []


async def test_a_job_cancelled_while_its_last_segments_are_committed_gets_no_word_behind_its_end(
    rig: Rig, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    closing, go = asyncio.Event(), asyncio.Event()
    close = Commits.close

    async def seen(self: Commits, *, within: float) -> None:
        closing.set()
        await close(self, within=within)

    monkeypatch.setattr(Commits, "close", seen)
    store.before_segment = go.wait
    async with rig.worker(slots=1):
        order = await rig.submit([["segment", 0], ["fail", "INFERENCE_FAILED"]])
        await asyncio.wait_for(closing.wait(), WITHIN)
        await rig.bus.cancellations.request(order.job_id)
        events = await rig.until_end(order)
        assert story(events)[-1] == "CANCELLED 1"
        assert not [task for task in asyncio.all_tasks() if task.get_name() == f"commit segments of {order.job_id}"]
        go.set()
        await rig.until_next_job()
    last = await rig.bus.events.last(order.job_id)
    assert last is not None
    assert last.number == events[-1].number
    assert await keys(rig, order) == []


async def test_uploads_do_not_hold_up_what_else_is_said(rig: Rig, store: Store) -> None:
    not_yet = asyncio.Event()
    store.before_segment = not_yet.wait
    async with rig.worker():
        order = await rig.submit([["segment", 0], ["progress", 0.5], *SUCCEED])
        events = await rig.until_end(order)
        not_yet.set()
    assert story(events)[-1] == "SUCCEEDED 1"
    assert segments(events) == []


async def test_a_store_that_stays_away_costs_the_segments_and_not_the_job_and_is_told_of_once(
    rig: Rig, store: Store
) -> None:
    async def away() -> None:
        raise Unavailable("away", code=ErrorCode.STORE_UNAVAILABLE)

    store.before_segment = away
    gate = rig.gate()
    async with rig.worker(segment_patience=0.2):
        order = await rig.submit([["segment", 0], ["segment", 1], gate.action(), ["segment", 2], *SUCCEED])
        warning = await rig.until_said(order)
        store.before_segment = None
        await gate.open()
        events = await rig.until_end(order)
    assert "not kept" in warning
    assert "away" in warning
    assert story(events)[-1] == "SUCCEEDED 1"
    assert segments(events) == []
    assert [event.log.text for event in events if event.HasField("log")] == [warning]


async def test_a_store_that_comes_back_gets_every_segment_in_order(rig: Rig, store: Store) -> None:
    refusals = [Unavailable("away", code=ErrorCode.STORE_UNAVAILABLE)] * 3

    async def away_first() -> None:
        if refusals:
            raise refusals.pop()

    store.before_segment = away_first
    gate = rig.gate()
    async with rig.worker():
        order = await rig.submit([["segment", 0], ["segment", 1], gate.action(), *SUCCEED])
        await rig.until(order, is_segment(1))
        await gate.open()
        events = await rig.until_end(order)
    assert segments(events) == [(1, 0), (1, 1)]


async def test_a_worker_whose_job_moved_on_commits_nothing_and_takes_its_bytes_back(
    rig: Rig, store: Store, bus: MemoryBus
) -> None:
    order = await rig.submit([["segment", 0], ["hang"]])
    taken_over = StatusChange(state=JOB_STATE_RUNNING, worker="other")
    store.before_segment = lambda: rig.say(order, attempt=2, status=taken_over)
    async with rig.worker(slots=1):
        await rig.until(order, lambda event: event.attempt == 2)
        store.before_segment = None
        segment = Event(job_id=order.job_id, workspace_id="ws", attempt=2, segment=Segment(index=0))
        last = await bus.events.last(order.job_id)
        assert last is not None
        await bus.events.append(segment, after=last.number)
        await rig.say(order, attempt=2, status=StatusChange(state=JOB_STATE_FAILED))
        events = await rig.until_end(order)
    assert segments(events) == [(2, 0)]
    assert [each.attempt for each in fold(events)] == [2]
    assert await keys(rig, order) == []


async def test_a_file_that_is_not_the_runners_own_is_never_stored(rig: Rig, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("secret")
    async with rig.worker():
        order = await rig.submit([["segment_elsewhere", str(secret)], ["hang"]], max_attempts=1)
        events = await rig.until_end(order)
    assert events[-1].status.error.code == ErrorCode.RUNNER_CRASHED
    assert await keys(rig, order) == []


async def test_previews_are_told_of_and_those_that_are_too_large_are_not(rig: Rig) -> None:
    async with rig.worker():
        order = await rig.submit([["preview", 200_000], ["preview", 1000], *SUCCEED])
        events = await rig.until_end(order)
    shown = [event.preview for event in events if event.HasField("preview")]
    assert [(len(each.before), len(each.after)) for each in shown] == [(1000, 1000)]


async def test_a_thumbnail_lies_beside_the_result(rig: Rig, store: Store) -> None:
    async with rig.worker():
        order = await rig.submit([["write", "x"], ["done", "a small picture"]])
        plain = await rig.submit(SUCCEED)
        events = await rig.until_end(order)
        without = await rig.until_end(plain)
    assert events[-1].status.outputs[0].has_thumbnail
    assert await store.text(thumbnail_key("ws", order.job_id, 1)) == "a small picture"
    assert not without[-1].status.outputs[0].has_thumbnail


async def test_nothing_of_a_segment_is_left_on_the_workers_disk(rig: Rig) -> None:
    async with rig.worker():
        order = await rig.submit({"1": [["segment", 0], ["die", "SIGKILL"]], "2": GO_ON})
        await rig.until_end(order)
    assert rig.leftovers() == []
