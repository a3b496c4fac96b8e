"""One job as long as a worker has it."""

from __future__ import annotations

import asyncio
import contextlib
from types import SimpleNamespace

import pytest

from coordinator.disposition import Interrupted
from coordinator.worker.run import JobRun
from framewire.testing.bus import MemoryBus
from framewire.work.v1.work_pb2 import JobOrder


async def test_a_job_halted_before_it_began_never_begins_though_the_cancellation_was_swallowed(
    monkeypatch: pytest.MonkeyPatch,
):
    bus, asked = MemoryBus(), asyncio.Event()

    async def answer_that_meets_the_cancellation(job_id: str) -> bool:
        asked.set()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        return False

    monkeypatch.setattr(bus.cancellations, "is_requested", answer_that_meets_the_cancellation)
    tools = SimpleNamespace(bus=bus, settings=SimpleNamespace(name="w", patience=5.0))
    run = JobRun(JobOrder(job_id="job_a", max_attempts=3), tools)  # type: ignore[arg-type]  # what it uses of them
    running = asyncio.ensure_future(run.run())
    async with asyncio.timeout(5):
        await asked.wait()
        run.halt(Interrupted())
        assert await running == Interrupted()
    assert await bus.events.last("job_a") is None
