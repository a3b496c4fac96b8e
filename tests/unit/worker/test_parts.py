"""The worker's small parts by themselves."""

from __future__ import annotations

import asyncio
import math
import os
from pathlib import Path

import pytest
from worker_rig import WITHIN

from coordinator.disposition import GiveUp, RetryAfter, after_failure
from coordinator.worker.overall import OverallProgress
from coordinator.worker.patience import once, patiently
from coordinator.worker.previews import LARGEST, PreviewPace
from coordinator.worker.scratch import Scratch
from coordinator.worker.transfer import FileFacts, Transfer, check, file_facts, open_own
from framewire.errors import ErrorCode, MediaError, Unavailable, WorkerError
from framewire.testing.storage import MemoryObjectStore
from framewire.v1.job_pb2 import Preview, Progress
from framewire.work.v1.work_pb2 import InputFile


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_progress_within_the_interval_is_held_back_until_it_is_the_last() -> None:
    clock = Clock()
    meter = OverallProgress(interval=0.5, clock=clock)
    assert meter.offer("process", Progress(fraction=0.0)) is not None
    assert meter.offer("process", Progress(fraction=0.1)) is None
    clock.now += 0.5
    assert meter.offer("process", Progress(fraction=0.2)) is not None
    assert meter.offer("process", Progress(fraction=1.0, frames_done=9)) is None
    last = meter.last()
    assert last is not None
    assert last.frames_done == 9
    assert meter.last() is None


def test_a_new_stage_shows_at_once() -> None:
    meter = OverallProgress(interval=0.5, clock=Clock())
    assert meter.offer("fetch", Progress()) is not None
    shown = meter.offer("process", Progress())
    assert shown is not None
    assert shown.stage == "process"


@pytest.mark.parametrize("fraction", [-1.0, math.nan, 0.0])
def test_a_fraction_that_makes_no_sense_does_not_move_the_whole(fraction: float) -> None:
    meter = OverallProgress(interval=0.0, clock=Clock())
    before = meter.offer("process", Progress(fraction=0.5))
    after = meter.offer("process", Progress(fraction=fraction))
    assert before is not None
    assert after is not None
    assert after.fraction == before.fraction == pytest.approx(0.5)


def test_each_failed_attempt_doubles_the_wait_up_to_a_bound() -> None:
    error = WorkerError("died", retryable=True)
    delays = [after_failure(error, attempt=attempt, max_attempts=99, first_delay=5.0) for attempt in (1, 2, 3, 20)]
    assert [entry.delay for entry in delays if isinstance(entry, RetryAfter)] == [5.0, 10.0, 20.0, 300.0]


def test_the_last_attempt_is_not_followed_by_another() -> None:
    ended = after_failure(WorkerError("died", retryable=True), attempt=3, max_attempts=3, first_delay=5.0)
    assert isinstance(ended, GiveUp)
    assert ended.error.code == ErrorCode.ATTEMPTS_EXHAUSTED
    assert "died" in ended.error.message


def test_the_folder_of_a_worker_that_died_is_swept_and_that_of_a_living_one_is_not(tmp_path: Path) -> None:
    dead = Scratch.open(tmp_path)
    folder = dead.job_folder("job_1")
    (folder / "input-0").write_bytes(b"x")
    dead.abandon()
    living = Scratch.open(tmp_path)
    kept = living.job_folder("job_2")
    third = Scratch.open(tmp_path)
    assert not folder.exists()
    assert kept.exists()
    third.close()
    living.close()
    living.close()
    assert [path.name for path in tmp_path.iterdir()] == ["lock"]


def test_another_size_or_hash_than_declared_is_an_error_of_its_own() -> None:
    facts = FileFacts(size=3, sha256="a" * 64)
    check(InputFile(size_bytes=3, sha256="a" * 64), facts)
    check(InputFile(), facts)
    for declared, code in [
        (InputFile(size_bytes=4), ErrorCode.UPLOAD_SIZE_MISMATCH),
        (InputFile(sha256="b" * 64), ErrorCode.UPLOAD_HASH_MISMATCH),
    ]:
        with pytest.raises(MediaError) as caught:
            check(declared, facts)
        assert caught.value.code == code
        assert not caught.value.retryable


def test_a_missing_result_is_the_runners_fault(tmp_path: Path) -> None:
    with pytest.raises(WorkerError) as caught:
        file_facts(tmp_path / "nothing")
    assert caught.value.retryable


async def test_a_call_without_an_answer_is_given_up() -> None:
    with pytest.raises(Unavailable):
        await once(asyncio.Event().wait, limit=0.01)


async def test_a_server_that_comes_back_in_time_is_not_missed() -> None:
    answers = [Unavailable("away"), Unavailable("away"), None]

    async def call() -> str:
        if error := answers.pop(0):
            raise error
        return "here"

    assert await patiently(call, patience=WITHIN) == "here"


async def test_patience_ends() -> None:
    async def call() -> None:
        raise Unavailable("away")

    with pytest.raises(Unavailable):
        await patiently(call, patience=0.05)


class SlowStore(MemoryObjectStore):
    """An upload that goes on, as one in a thread does, until `go` is set."""

    def __init__(self) -> None:
        super().__init__()
        self.go = asyncio.Event()
        self.begun = asyncio.Event()

    async def put_file(self, key: str, path: Path, *, content_type: str = "application/octet-stream") -> None:
        self.begun.set()
        await self.go.wait()
        await super().put_file(key, path, content_type=content_type)


async def test_an_upload_nobody_wants_any_more_is_waited_for_and_then_deleted(tmp_path: Path) -> None:
    store = SlowStore()
    transfer = Transfer(store, patience=1.0, limit=WITHIN)
    (tmp_path / "result").write_bytes(b"x")
    storing = asyncio.create_task(transfer.store("key", tmp_path / "result"))
    await store.begun.wait()
    storing.cancel()
    discarding = asyncio.create_task(transfer.discard("key"))
    store.go.set()
    assert await discarding
    assert await store.head("key") is None


async def test_what_was_never_stored_is_discarded_without_asking_the_store() -> None:
    assert await Transfer(NoStore(), patience=1.0, limit=1.0).discard("key")


class NoStore(MemoryObjectStore):
    async def delete(self, key: str) -> None:
        raise AssertionError("asked")


def test_previews_become_rarer_the_longer_a_job_runs() -> None:
    clock = Clock()
    pace, shown = PreviewPace(clock=clock), []
    for _ in range(6 * 1800):  # six hours, one every two seconds
        shown.append(pace.offer(Preview(before=b"b", after=b"a")))
        clock.now += 2.0
    assert all(shown[:150])
    assert 500 < sum(shown) < 1000
    assert any(shown[-100:])


def test_a_preview_that_is_too_large_does_not_count_as_shown() -> None:
    pace = PreviewPace(clock=Clock())
    assert not pace.offer(Preview(before=b"x" * LARGEST, after=b"x"))
    assert pace.offer(Preview(before=b"x", after=b"x"))


@pytest.mark.parametrize("kind", ["link", "pipe", "folder"])
def test_what_a_runner_leaves_in_place_of_a_file_is_not_read(tmp_path: Path, kind: str) -> None:
    (tmp_path / "secret").write_text("the worker's")
    left = tmp_path / "segment-000000.mp4"
    match kind:
        case "link":
            left.symlink_to(tmp_path / "secret")
        case "pipe":
            os.mkfifo(left)
        case _:
            left.mkdir()
    with pytest.raises(WorkerError, match="something else than a file") as caught:
        open_own(left)
    assert caught.value.code == ErrorCode.RUNNER_CRASHED
