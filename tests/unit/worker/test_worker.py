"""What a worker does with a job, on the bus and the store in memory, with scripted runners as real processes."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import hashlib
import os
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from worker_rig import SUCCEED, WITHIN, Rig, runs, story

from coordinator.child import RunnerProcess
from coordinator.runner_pool import RunnerPool
from coordinator.worker import Worker
from framewire.errors import ErrorCode, WorkerError
from framewire.testing.bus import MemoryBus, MemoryDelivery
from framewire.testing.storage import MemoryObjectStore
from framewire.v1.asset_pb2 import ASSET_STATE_READY
from framewire.v1.job_pb2 import (
    JOB_STATE_CANCELLED,
    JOB_STATE_FAILED,
    JOB_STATE_QUEUED,
    JOB_STATE_RUNNING,
    Error,
    Event,
    StatusChange,
)
from framewire.v1.step_pb2 import LANE_CPU, LANE_GPU
from framewire.work.v1.work_pb2 import JobOrder, WorkerStatus


@pytest.fixture
def bus() -> MemoryBus:
    return MemoryBus(ack_wait=2.0)


@pytest.fixture
def store() -> MemoryObjectStore:
    return MemoryObjectStore()


@pytest.fixture
def rig(bus: MemoryBus, store: MemoryObjectStore, tmp_path: Path) -> Rig:
    return Rig(bus, store, tmp_path)


async def queue_is_empty(rig: Rig) -> bool:
    return await rig.bus.jobs.pull([LANE_GPU, LANE_CPU], wait=0) is None


async def test_a_job_succeeds_with_its_result_in_the_store_and_its_facts_in_the_last_event(rig: Rig) -> None:
    async with rig.worker():
        order = await rig.submit(SUCCEED)
        events = await rig.until_end(order)
    assert story(events) == ["QUEUED 0", "RUNNING 1", "SUCCEEDED 1"]
    status = events[-1].status
    (asset,) = status.outputs
    assert (asset.asset_id, asset.workspace_id, asset.filename) == (order.output_asset_id, "ws", "result.mp4")
    assert (asset.state, asset.source_job_id) == (ASSET_STATE_READY, order.job_id)
    assert (asset.size_bytes, asset.sha256) == (8, hashlib.sha256(b"a result").hexdigest())
    assert asset.media.video.width == 4
    assert status.fidelity.frames_out == 10
    assert status.worker == "w1"
    assert await rig.results(order) == [rig.result_key(order, 1)]
    assert rig.leftovers() == []


async def test_what_the_runner_sees_and_says_is_in_the_log(rig: Rig) -> None:
    async with rig.worker():
        order = await rig.submit([["probe"], ["say", "hello"], *SUCCEED[1:]])
        events = await rig.until_end(order)
    (probed,) = [event.input for event in events if event.HasField("input")]
    assert (probed.asset_id, probed.media.container) == (order.inputs[0].asset_id, "scripted")
    assert [event.log.text for event in events if event.HasField("log")] == ["hello"]


async def test_progress_is_of_the_whole_job_and_never_goes_back(rig: Rig) -> None:
    async with rig.worker():
        order = await rig.submit([["progress", 0.0, 0.5, 0.2, 7.0, 1.0], ["write", "x"], ["done"]])
        events = await rig.until_end(order)
    progress = [event.progress for event in events if event.HasField("progress")]
    fractions = [entry.fraction for entry in progress]
    assert fractions == sorted(fractions)
    assert (fractions[0], fractions[-1]) == (0.0, 1.0)
    assert list(dict.fromkeys(entry.stage for entry in progress)) == ["fetch", "process", "store"]


async def test_a_failure_that_may_pass_is_retried_as_the_next_attempt(rig: Rig) -> None:
    async with rig.worker():
        order = await rig.submit({"1": [["fail_for_now", "INFERENCE_UNAVAILABLE"]], "2": SUCCEED})
        events = await rig.until_end(order)
    assert story(events) == ["QUEUED 0", "RUNNING 1", "QUEUED 1", "RUNNING 2", "SUCCEEDED 2"]
    assert "INFERENCE_UNAVAILABLE" in next(e.status.message for e in events[1:] if e.status.message)
    assert await rig.results(order) == [rig.result_key(order, 2)]


async def test_a_failure_that_will_not_pass_ends_the_job_at_once(rig: Rig, bus: MemoryBus) -> None:
    async with rig.worker():
        order = await rig.submit([["fail", "MEDIA_UNREADABLE"]])
        events = await rig.until_end(order)
    assert story(events)[-1] == "FAILED 1"
    assert events[-1].status.error == Error(code="MEDIA_UNREADABLE", message="as scripted")
    assert await bus.dead_letters.list() == []


async def test_a_job_whose_attempts_are_used_up_is_buried_with_the_reason(rig: Rig, bus: MemoryBus) -> None:
    async with rig.worker():
        order = await rig.submit([["fail_for_now", "INFERENCE_FAILED"]], max_attempts=2)
        events = await rig.until_end(order)
    assert story(events) == ["QUEUED 0", "RUNNING 1", "QUEUED 1", "RUNNING 2", "FAILED 2"]
    assert events[-1].status.error.code == ErrorCode.ATTEMPTS_EXHAUSTED
    (letter,) = await bus.dead_letters.list()
    assert letter.order == order
    assert "INFERENCE_FAILED" in letter.reason
    assert [line.split(" attempt ")[1].split(" ")[:2] for line in letter.history] == [
        entry.split(" ")[::-1] for entry in story(events)
    ]
    assert await queue_is_empty(rig)


async def test_a_job_whose_workers_died_in_every_attempt_is_buried_without_another(rig: Rig, bus: MemoryBus) -> None:
    order = await rig.submit(SUCCEED, max_attempts=2)
    await rig.say(order, attempt=2, status=StatusChange(state=JOB_STATE_RUNNING, worker="dead"))
    async with rig.worker():
        events = await rig.until_end(order)
    assert story(events)[-1] == "FAILED 2"
    assert events[-1].status.error.code == ErrorCode.ATTEMPTS_EXHAUSTED
    assert [letter.job_id for letter in await bus.dead_letters.list()] == [order.job_id]


async def test_a_burial_that_its_worker_did_not_live_to_make_is_made_up_for(rig: Rig, bus: MemoryBus) -> None:
    order = await rig.submit(SUCCEED)
    error = Error(code=ErrorCode.ATTEMPTS_EXHAUSTED, message="none finished")
    await rig.say(order, attempt=3, status=StatusChange(state=JOB_STATE_FAILED, error=error))
    async with rig.worker(slots=1):
        await rig.until_next_job()
    assert [letter.job_id for letter in await bus.dead_letters.list()] == [order.job_id]
    assert await queue_is_empty(rig)


async def test_a_runner_that_is_killed_costs_an_attempt_and_the_message_names_the_signal(rig: Rig) -> None:
    async with rig.worker():
        order = await rig.submit({"1": [["die", "SIGSEGV"]], "2": [["leave", 3]], "3": SUCCEED})
        events = await rig.until_end(order)
    assert story(events)[-1] == "SUCCEEDED 3"
    why = [event.status.message for event in events if event.status.message]
    assert "RUNNER_CRASHED" in why[0]
    assert "SIGSEGV" in why[0]
    assert "code 3" in why[1]


async def test_a_runner_that_leaves_before_its_order_comes_costs_no_attempt(
    rig: Rig, store: MemoryObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    lend, get_file = RunnerPool.lend, store.get_file
    lent: list[RunnerProcess] = []

    @contextlib.asynccontextmanager
    async def noted(pool: RunnerPool, *, ahead: bool = True) -> AsyncIterator[RunnerProcess]:
        async with lend(pool, ahead=ahead) as runner:
            lent.append(runner)
            yield runner

    async def fetch(key: str, path: Path) -> None:
        await get_file(key, path)
        os.kill(lent[0].pid, signal.SIGKILL)
        async with asyncio.timeout(WITHIN):
            with pytest.raises(WorkerError):
                _ = [report async for report in lent[0].reports()]

    monkeypatch.setattr(RunnerPool, "lend", noted)
    monkeypatch.setattr(store, "get_file", fetch)
    async with rig.worker():
        events = await rig.until_end(await rig.submit(SUCCEED))
    assert story(events) == ["QUEUED 0", "RUNNING 1", "SUCCEEDED 1"]
    assert len(lent) == 2
    assert not any(runner.alive for runner in lent)
    assert rig.leftovers() == []


async def test_a_runner_that_says_nothing_for_too_long_is_killed(rig: Rig) -> None:
    rig.runner = dataclasses.replace(rig.runner, silence=0.7, grace=0.2)
    async with rig.worker():
        order = await rig.submit([["say_pid"], ["shrug_off_sigterm"], ["hang"]], max_attempts=1)
        events = await rig.until_end(order)
    assert "said nothing for 0.7 s" in events[-1].status.error.message
    assert not runs(int(await rig.until_said(order)))


async def test_a_runner_that_reports_success_without_a_result_has_failed(rig: Rig) -> None:
    async with rig.worker():
        order = await rig.submit([["done"]], max_attempts=1)
        events = await rig.until_end(order)
    assert "no file" in events[-1].status.error.message
    assert await rig.results(order) == []


async def test_a_runner_sees_no_variable_that_it_was_not_given(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FRAMEWIRE_S3_SECRET_KEY", "secret")
    async with rig.worker():
        order = await rig.submit([["say_environment"], *SUCCEED])
        names = (await rig.until_said(order)).split()
    assert [name for name in names if not name.startswith("LC_")] == ["PATH"]


async def test_an_input_that_is_not_what_was_uploaded_ends_the_job(rig: Rig) -> None:
    order = await rig.order(SUCCEED)
    order.inputs[0].sha256 = "0" * 64
    await rig.bus.jobs.publish(order)
    async with rig.worker():
        events = await rig.until_end(order)
    assert events[-1].status.error.code == ErrorCode.UPLOAD_HASH_MISMATCH


async def test_an_input_that_is_gone_ends_the_job(rig: Rig) -> None:
    order = await rig.order(SUCCEED)
    await rig.store.delete(order.inputs[0].object_key)
    await rig.bus.jobs.publish(order)
    async with rig.worker():
        events = await rig.until_end(order)
    assert story(events) == ["RUNNING 1", "FAILED 1"]
    assert events[-1].status.error.code == ErrorCode.OBJECT_NOT_FOUND


async def test_a_job_cancelled_before_the_start_is_never_started(rig: Rig) -> None:
    order = await rig.submit(SUCCEED)
    await rig.bus.cancellations.request(order.job_id)
    async with rig.worker():
        events = await rig.until_end(order)
    assert story(events) == ["QUEUED 0", "CANCELLED 0"]
    assert await queue_is_empty(rig)


async def test_a_running_job_is_cancelled_within_two_seconds_though_its_runner_ignores_sigterm(rig: Rig) -> None:
    async with rig.worker():
        order = await rig.submit([["shrug_off_sigterm"], ["say_pid"], ["hang"]])
        pid = int(await rig.until_said(order))
        asked = time.monotonic()
        await rig.bus.cancellations.request(order.job_id)
        events = await rig.until_end(order)
        assert time.monotonic() - asked < 2.0
        assert not runs(pid)
        assert rig.leftovers() == [path for path in rig.settings.scratch.iterdir() if path.is_dir()]  # its own, empty
    assert story(events) == ["QUEUED 0", "RUNNING 1", "CANCELLED 1"]
    assert await rig.results(order) == []
    assert await queue_is_empty(rig)


async def test_a_cancellation_nobody_heard_is_found_with_the_next_sign_of_life(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def deaf() -> object:
        await asyncio.Event().wait()
        yield ""

    monkeypatch.setattr(rig.bus.cancellations, "watch", deaf)
    async with rig.worker():
        order = await rig.submit([["say", "on"], ["hang"]])
        await rig.until_said(order)
        await rig.bus.cancellations.request(order.job_id)
        assert story(await rig.until_end(order))[-1] == "CANCELLED 1"


async def test_a_stopping_worker_gives_its_job_back_without_costing_an_attempt(rig: Rig) -> None:
    gate = rig.gate()
    script = [["say_pid"], gate.action(), *SUCCEED]
    async with rig.worker() as worker:
        order = await rig.submit(script, max_attempts=1)
        pid = int(await rig.until_said(order))
        await worker.stop()
        assert not runs(pid)
        assert rig.leftovers() == []
        assert await rig.bus.workers.live() == []
    async with rig.worker(name="w2"):
        running = await rig.until(order, lambda event: event.status.worker == "w2")
        await gate.open()
        events = await rig.until_end(order)
    assert running.attempt == 1
    assert story(events) == ["QUEUED 0", "RUNNING 1", "QUEUED 0", "RUNNING 1", "SUCCEEDED 1"]


async def test_a_stop_while_nothing_runs_leaves_no_process_and_no_file(rig: Rig) -> None:
    async with rig.worker() as worker:
        spare = await worker._runners._spare  # type: ignore[misc]  # the spare is nobody's business but this test's
        assert spare.alive
    assert not runs(spare.pid)
    assert rig.leftovers() == []


class TakenOver(MemoryObjectStore):
    """Just when a result has been stored, somebody else writes into the job's log."""

    def __init__(self) -> None:
        super().__init__()
        self.strike: Callable[[], Awaitable[int]] | None = None

    async def put_file(self, key: str, path: Path, *, content_type: str = "application/octet-stream") -> None:
        await super().put_file(key, path, content_type=content_type)
        if self.strike is not None and "/results/" in key:
            strike, self.strike = self.strike, None
            await strike()


@pytest.mark.parametrize(
    ("status", "gone"),
    [
        (StatusChange(state=JOB_STATE_RUNNING, worker="other"), False),
        (StatusChange(state=JOB_STATE_CANCELLED), True),
    ],
    ids=["another attempt runs", "the job has ended"],
)
async def test_a_worker_whose_job_moved_on_says_nothing_and_deletes_its_result(
    tmp_path: Path, status: StatusChange, gone: bool
) -> None:
    bus, store = MemoryBus(ack_wait=60.0), TakenOver()
    rig = Rig(bus, store, tmp_path)
    order = await rig.submit(SUCCEED)
    store.strike = lambda: rig.say(order, attempt=2, status=status)
    async with rig.worker(slots=1):
        await rig.until(order, lambda event: event.attempt == 2)
        await rig.until_next_job()
    last = await bus.events.last(order.job_id)
    assert last is not None
    assert last.status == status
    assert await rig.results(order) == []
    await bus.jobs.publish(order)  # changes nothing while the order is held, as it is by whoever took over
    assert (await bus.jobs.pull([LANE_GPU], wait=0) is not None) is gone


class Recorded(MemoryBus):
    """Writes down when jobs are asked for, handed out and settled."""

    def __init__(self) -> None:
        super().__init__()
        self.record: list[str] = []
        pull = self.jobs.pull

        async def recorded(lanes: list[int], **how: Any) -> MemoryDelivery | None:
            self.record.append("pull")
            delivery = await pull(lanes, **how)  # type: ignore[arg-type]  # passed through
            if delivery is not None:
                self.record.append("delivered")
                ack = delivery.ack

                async def acked() -> None:
                    self.record.append("ack")
                    await ack()

                delivery.ack = acked  # type: ignore[method-assign]  # to see it
            return delivery

        self.jobs.pull = recorded  # type: ignore[method-assign,assignment]  # to see it


async def test_no_job_is_asked_for_without_a_free_slot(store: MemoryObjectStore, tmp_path: Path) -> None:
    bus = Recorded()
    rig = Rig(bus, store, tmp_path)
    orders = [await rig.submit(SUCCEED) for _ in range(3)]
    async with rig.worker(slots=1):
        for order in orders:
            await rig.until_end(order)
    happened = " ".join(bus.record)
    assert happened.count("delivered ack") == 3
    assert "delivered pull" not in happened


async def test_as_many_jobs_run_at_once_as_there_are_slots(rig: Rig) -> None:
    gates = [rig.gate() for _ in range(3)]
    async with rig.worker(slots=2):
        orders = [await rig.submit([["say", "on"], gate.action(), *SUCCEED]) for gate in gates]
        await asyncio.gather(*map(rig.until_said, orders[:2]))
        (status,) = await rig.bus.workers.live()
        assert sorted(status.running_job_ids) == sorted(order.job_id for order in orders[:2])
        await asyncio.gather(*(gate.open() for gate in gates))
        ends = await asyncio.gather(*map(rig.until_end, orders))
    assert [story(events)[-1] for events in ends] == ["SUCCEEDED 1"] * 3


async def test_a_held_job_is_not_handed_out_again_however_long_it_takes(
    store: MemoryObjectStore, tmp_path: Path
) -> None:
    bus = MemoryBus(ack_wait=0.4)
    rig = Rig(bus, store, tmp_path)
    gate = rig.gate()
    async with rig.worker(heartbeat=0.1):
        order = await rig.submit([["say", "on"], gate.action(), *SUCCEED])
        await rig.until_said(order)
        assert await bus.jobs.pull([LANE_GPU], wait=1.2) is None
        await gate.open()
        events = await rig.until_end(order)
    assert story(events) == ["QUEUED 0", "RUNNING 1", "SUCCEEDED 1"]


async def test_gpu_jobs_are_left_alone_while_the_model_server_is_away(rig: Rig) -> None:
    rig.models.reachable = False
    async with rig.worker():
        gpu = await rig.submit(SUCCEED, lane=LANE_GPU)
        cpu = await rig.submit(SUCCEED, lane=LANE_CPU)
        assert story(await rig.until_end(cpu))[-1] == "SUCCEEDED 1"
        (status,) = await rig.bus.workers.live()
        assert list(status.models) == []
        assert story([await rig.bus.events.last(gpu.job_id)]) == ["QUEUED 0"]
        rig.models.reachable = True
        assert story(await rig.until_end(gpu))[-1] == "SUCCEEDED 1"
    assert rig.models.sweeps == 1


async def test_memory_a_dead_runner_left_at_the_model_server_is_swept_as_soon_as_it_can_be(rig: Rig) -> None:
    async with rig.worker():
        rig.models.refuses_to_sweep = 2
        order = await rig.submit({"1": [["die", "SIGKILL"]], "2": SUCCEED})
        await rig.until_end(order)
        assert await asyncio.to_thread(rig.models.swept_again.wait, WITHIN)
    assert rig.models.sweeps == 2


async def test_the_models_served_are_announced(rig: Rig) -> None:
    async with rig.worker():
        (status,) = await rig.bus.workers.live()
    assert [model.name for model in status.models] == ["upscale_bicubic_x2"]
    assert (status.worker, status.slots, list(status.lanes)) == ("w1", 3, [LANE_GPU, LANE_CPU])


async def test_no_job_of_a_paused_lane_is_taken_until_it_is_resumed(rig: Rig) -> None:
    await rig.bus.controls.pause(LANE_GPU)
    async with rig.worker():
        gpu = await rig.submit(SUCCEED, lane=LANE_GPU)
        await rig.until_end(await rig.submit(SUCCEED, lane=LANE_CPU))
        assert story([await rig.bus.events.last(gpu.job_id)]) == ["QUEUED 0"]
        await rig.bus.controls.resume(LANE_GPU)
        assert story(await rig.until_end(gpu))[-1] == "SUCCEEDED 1"


async def test_a_lane_that_is_paused_keeps_what_runs_and_takes_nothing_within_two_seconds(rig: Rig) -> None:
    gate = rig.gate()
    async with rig.worker():
        running = await rig.submit([["say", "on"], gate.action(), *SUCCEED])
        await rig.until_said(running)
        await rig.bus.controls.pause(LANE_GPU)
        later = await rig.submit(SUCCEED)
        await gate.open()
        assert story(await rig.until_end(running))[-1] == "SUCCEEDED 1"
        assert story([await rig.bus.events.last(later.job_id)]) == ["QUEUED 0"]


async def until_announced(rig: Rig, expected: Callable[[WorkerStatus], bool]) -> None:
    """The only worker says this of itself."""
    announced, announce = asyncio.Event(), rig.bus.workers.announce

    async def announcing(status: WorkerStatus) -> None:
        await announce(status)
        if expected(status):
            announced.set()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rig.bus.workers, "announce", announcing)
        async with asyncio.timeout(WITHIN):
            await announced.wait()


async def test_a_draining_worker_finishes_what_runs_takes_nothing_new_and_says_so(rig: Rig) -> None:
    gate = rig.gate()
    async with rig.worker():
        running = await rig.submit([["say", "on"], gate.action(), *SUCCEED])
        await rig.until_said(running)
        await rig.bus.controls.drain("w1")
        await until_announced(rig, lambda status: status.draining)
        later = await rig.submit(SUCCEED)
        async with rig.worker(name="w2", lanes=(LANE_CPU,)):
            await rig.until_end(await rig.submit(SUCCEED, lane=LANE_CPU))
        await gate.open()
        assert story(await rig.until_end(running))[-1] == "SUCCEEDED 1"
        assert story([await rig.bus.events.last(later.job_id)]) == ["QUEUED 0"]
        await rig.bus.controls.undrain("w1")
        assert story(await rig.until_end(later))[-1] == "SUCCEEDED 1"
        await until_announced(rig, lambda status: not status.draining)


async def test_a_worker_says_when_its_next_runner_is_ready_and_a_job_that_it_was_for_it(rig: Rig) -> None:
    rig.runner = dataclasses.replace(rig.runner, refill_delay=3600)
    gate = rig.gate()
    async with rig.worker():
        await until_announced(rig, lambda status: status.warm_runners == 1)
        order = await rig.submit([["say", "on"], gate.action(), *SUCCEED])
        await rig.until_said(order)
        await until_announced(rig, lambda status: status.warm_runners == 0)
        await gate.open()
        usage = (await rig.until_end(order))[-1].status.fidelity.usage
    assert usage.warm
    assert [moment.name for moment in usage.start] == [
        *("order queued", "order pulled", "log read", "cancellation looked for", "attempt begun", "runner taken"),
        *sorted(["input fetched", "models leased"], key=[moment.name for moment in usage.start].index),
        "order sent",
    ]
    times = [moment.time.ToNanoseconds() for moment in usage.start]
    assert times == sorted(times)


async def test_a_worker_that_was_drained_before_it_came_takes_nothing(rig: Rig) -> None:
    await rig.bus.controls.drain("w1")
    order = await rig.submit(SUCCEED)
    async with rig.worker():
        await until_announced(rig, lambda status: status.draining)
    assert story([await rig.bus.events.last(order.job_id)]) == ["QUEUED 0"]


async def test_a_rented_worker_takes_jobs_only_while_more_wait_and_the_job_says_why_it_ran_there(rig: Rig) -> None:
    orders = [await rig.submit(SUCCEED) for _ in range(5)]
    async with rig.worker(overflow_after=3, slots=1):
        first = await rig.until_end(orders[0])
        second = await rig.until_end(orders[1])
        async with rig.worker(name="own"):
            rest = [await rig.until_end(order) for order in orders[2:]]
        (status,) = await rig.bus.workers.live()
        assert (status.HasField("overflow_after"), status.overflow_after) == (True, 3)
    running = [event.status for events in (first, second, *rest) for event in events if event.status.placement]
    assert [(status.worker, status.placement) for status in running] == [
        ("w1", "overflow: 5 waited, more than 3"),
        ("w1", "overflow: 4 waited, more than 3"),
        *[("own", "own")] * 3,
    ]


async def test_a_worker_takes_only_the_priorities_it_may(rig: Rig) -> None:
    async with rig.worker(priorities=(2, 3)):
        mine = await rig.order(SUCCEED)
        mine.priority = 3
        others = await rig.submit(SUCCEED)
        await rig.bus.jobs.publish(mine)
        await rig.until_end(mine)
        (status,) = await rig.bus.workers.live()
    assert list(status.priorities) == [2, 3]
    assert story([await rig.bus.events.last(others.job_id)]) == ["QUEUED 0"]


async def test_the_order_of_before_a_retry_by_hand_is_forgotten_and_the_retry_runs(rig: Rig, bus: MemoryBus) -> None:
    order = await rig.submit(SUCCEED, max_attempts=2)
    await rig.say(order, attempt=2, status=StatusChange(state=JOB_STATE_FAILED))
    await rig.say(order, attempt=2, status=StatusChange(state=JOB_STATE_QUEUED))
    async with rig.worker(slots=1):
        await rig.until_next_job()
        assert story([await bus.events.last(order.job_id)]) == ["QUEUED 2"]
        order.max_attempts = 4
        await bus.jobs.publish(order)
        events = await rig.until_end(order)
    assert story(events) == ["QUEUED 0", "FAILED 2", "QUEUED 2", "RUNNING 3", "SUCCEEDED 3"]
    assert await bus.dead_letters.list() == []
    assert await queue_is_empty(rig)


async def test_an_old_order_does_not_disturb_the_attempt_a_retry_by_hand_has_begun(rig: Rig, bus: MemoryBus) -> None:
    order = await rig.submit(SUCCEED, max_attempts=2)
    await rig.say(order, attempt=3, status=StatusChange(state=JOB_STATE_RUNNING, worker="other"))
    async with rig.worker(slots=1):
        await rig.until_next_job()
    assert story([await bus.events.last(order.job_id)]) == ["RUNNING 3"]
    assert await queue_is_empty(rig)


async def test_a_retry_that_comes_before_the_failure_is_settled_waits_for_its_end(tmp_path: Path) -> None:
    bus, store = MemoryBus(ack_wait=60.0), MemoryObjectStore()
    rig = Rig(bus, store, tmp_path)
    retried = asyncio.Event()
    bury = bus.dead_letters.bury

    async def retry_first(order: JobOrder, *rest: Any) -> None:
        await rig.say(order, attempt=1, status=StatusChange(state=JOB_STATE_QUEUED))
        again = JobOrder.FromString(order.SerializeToString())
        again.max_attempts = 3
        await bus.jobs.publish(again)
        retried.set()
        await bury(order, *rest)

    bus.dead_letters.bury = retry_first  # type: ignore[method-assign]  # to be quicker than the worker
    async with rig.worker():
        order = await rig.submit({"1": [["fail_for_now", "INFERENCE_FAILED"]], "2": SUCCEED}, max_attempts=1)
        async with asyncio.timeout(WITHIN):
            await retried.wait()
        events = await rig.until_end(order)
    assert story(events) == ["QUEUED 0", "RUNNING 1", "FAILED 1", "QUEUED 1", "RUNNING 2", "SUCCEEDED 2"]


class Frozen(MemoryBus):
    """Answers nothing any more once it is `frozen`."""

    def __init__(self) -> None:
        super().__init__()
        self.frozen = False
        append = self.events.append

        async def appending(event: Event, *, after: int) -> int:
            if self.frozen:
                await asyncio.Event().wait()
            return await append(event, after=after)

        self.events.append = appending  # type: ignore[method-assign]  # to freeze it


async def test_a_stop_is_bounded_though_the_bus_answers_nothing(store: MemoryObjectStore, tmp_path: Path) -> None:
    bus = Frozen()
    rig = Rig(bus, store, tmp_path)
    async with rig.worker(drain_limit=0.5) as worker:
        order = await rig.submit([["say_pid"], ["hang"]])
        pid = int(await rig.until_said(order))
        bus.frozen = True
        async with asyncio.timeout(5):
            await worker.stop()
    assert not runs(pid)
    assert rig.leftovers() == []


async def test_a_job_that_comes_with_the_word_to_stop_goes_back_untouched(rig: Rig) -> None:
    async with rig.worker(pull_wait=0.5) as worker:
        stopping = asyncio.create_task(worker.stop())
        await asyncio.sleep(0)
        order = await rig.submit(SUCCEED)
        await stopping
    last = await rig.bus.events.last(order.job_id)
    assert last is not None
    assert story([last]) == ["QUEUED 0"]
    assert await rig.bus.jobs.pull([LANE_GPU], wait=0) is not None


async def test_a_worker_says_so_when_a_part_of_it_breaks(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    async def bug(*_: object, **__: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(rig.bus.jobs, "pull", bug)
    worker = Worker(rig.settings, rig.runner, bus=rig.bus, store=rig.store, models=rig.models)
    await worker.start()
    async with asyncio.timeout(5):
        await worker.broken.wait()
    await worker.stop()
