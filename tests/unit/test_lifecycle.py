"""Ending tasks."""

from __future__ import annotations

import asyncio
import gc
import time

import pytest

from framewire import lifecycle
from gateway.background import Background


async def test_a_task_that_swallows_a_cancellation_is_ended_all_the_same(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(lifecycle, "_AGAIN", 0.01)

    async def deaf() -> None:
        answer = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_soon(answer.set_result, None)
        # the answer and the cancellation meet: Python 3.11 returns the answer and forgets the cancellation
        await asyncio.wait_for(answer, timeout=60)
        await asyncio.Event().wait()

    task = asyncio.ensure_future(deaf())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    async with asyncio.timeout(5):
        await lifecycle.end(task)
    assert task.cancelled()


async def test_background_work_stops_although_its_round_swallows_a_cancellation(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(lifecycle, "_AGAIN", 0.01)
    running, swallowed = asyncio.Event(), []

    async def round_() -> None:
        running.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            if swallowed:
                raise
            swallowed.append(time.monotonic())

    work = Background("deaf", round_)
    await work.start()
    async with asyncio.timeout(5):
        await running.wait()
        await work.stop()
    assert len(swallowed) == 1


async def test_a_task_that_had_failed_already_is_ended_without_a_complaint_in_the_log(caplog: pytest.LogCaptureFixture):
    async def fail() -> None:
        raise ValueError("nobody waits for this")

    task = asyncio.ensure_future(fail())
    await asyncio.wait({task})
    await lifecycle.end(task)
    del task
    gc.collect()
    assert not caplog.records


async def test_of_parts_that_run_together_one_failure_ends_all_before_it_is_raised() -> None:
    ended = []

    async def long() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            ended.append("long")

    async def fail() -> None:
        raise ValueError("of the part")

    with pytest.raises(ValueError, match="of the part"):
        await lifecycle.together(long(), fail())
    assert ended == ["long"]
    await lifecycle.together(asyncio.sleep(0), asyncio.sleep(0))


async def test_a_part_that_swallows_its_cancellation_keeps_nobody_from_cancelling_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lifecycle, "_AGAIN", 0.01)
    began = asyncio.Event()

    async def stubborn() -> None:
        began.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await asyncio.Event().wait()  # as if nobody had asked

    over = asyncio.get_running_loop().create_future()
    over.set_result(None)
    all_of_them = asyncio.create_task(lifecycle.together(over, stubborn()))
    await began.wait()
    all_of_them.cancel()
    done, _ = await asyncio.wait({all_of_them}, timeout=10)
    assert done
    assert all_of_them.cancelled()
