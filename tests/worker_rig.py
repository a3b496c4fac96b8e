"""A worker with a scripted runner, on any bus and store, and what tests ask of it."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import sys
import threading
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from triton_server import BICUBIC

from coordinator.settings import RunnerSettings, WorkerSettings
from coordinator.worker import Worker
from framewire.bus.interface import Bus
from framewire.errors import ErrorCode, WorkerError
from framewire.jobs.ids import new_asset_id, new_job_id
from framewire.jobs.states import state_name
from framewire.storage.interface import ObjectStore
from framewire.storage.keys import result_key, upload_key
from framewire.testing.models import FakeModelControl
from framewire.v1.job_pb2 import JOB_STATE_QUEUED, Event, StatusChange
from framewire.v1.step_pb2 import LANE_GPU, Enhance, Lane, Step
from framewire.work.v1.work_pb2 import InputFile, JobOrder

WITHIN = 20.0
"""Seconds a test waits for what must come, on a busy machine too."""

SUCCEED: list[list[Any]] = [["probe"], ["progress", 0.0, 1.0], ["write", "a result"], ["done"]]


class FakeModelServer(FakeModelControl):
    """Has the models of `sizes`; refuses to sweep as often as it is told to."""

    def __init__(self) -> None:
        super().__init__({BICUBIC: 100})
        self.refuses_to_sweep = 0
        self.swept_again = threading.Event()

    def sweep_dead_regions(self) -> None:
        if self.refuses_to_sweep:
            self.refuses_to_sweep -= 1
            raise WorkerError("a region is in use", code=ErrorCode.INFERENCE_FAILED)
        super().sweep_dead_regions()
        if self.sweeps == 2:
            self.swept_again.set()


class Rig:
    """Orders jobs and reads their logs as the gateway would."""

    def __init__(self, bus: Bus, store: ObjectStore, folder: Path) -> None:
        self.bus = bus
        self.store = store
        self.folder = folder
        self.models = FakeModelServer()
        self.settings = WorkerSettings(
            name="w1",
            scratch=folder / "scratch",
            pull_wait=0.1,
            announce_interval=0.1,
            progress_interval=0.0,
            heartbeat=0.5,
            retry_delay=0.01,
            patience=5.0,
        )
        runner = Path(__file__).parent / "scripted_runner.py"
        self.runner = RunnerSettings(
            command=(sys.executable, str(runner)), environment={"PATH": "/usr/bin"}, grace=1.0, silence=WITHIN
        )

    @contextlib.asynccontextmanager
    async def worker(self, **changes: Any) -> AsyncIterator[Worker]:
        """A worker that runs inside the block."""
        settings = replace(self.settings, **changes)
        worker = Worker(settings, self.runner, bus=self.bus, store=self.store, models=self.models)
        try:
            await worker.start()
            yield worker
        finally:
            await worker.stop()
        assert not worker.broken.is_set()

    async def submit(
        self, script: Any, *, max_attempts: int = 3, lane: Lane.ValueType = LANE_GPU, **changes: Any
    ) -> JobOrder:
        """Upload the script, say that the job is queued and queue it."""
        order = await self.order(script, max_attempts=max_attempts, lane=lane, **changes)
        await self.say(order, attempt=0, status=StatusChange(state=JOB_STATE_QUEUED))
        await self.bus.jobs.publish(order)
        return order

    async def order(self, script: Any, *, max_attempts: int = 3, lane: Lane.ValueType = LANE_GPU) -> JobOrder:
        """An order whose input is uploaded."""
        data = json.dumps(script).encode()
        file = InputFile(
            asset_id=(asset := new_asset_id()),
            object_key=upload_key("ws", asset),
            size_bytes=len(data),
            sha256=hashlib.sha256(data).hexdigest(),
            filename="script.json",
        )
        path = self.folder / asset
        path.write_bytes(data)
        await self.store.put_file(file.object_key, path)
        return JobOrder(
            job_id=new_job_id(),
            workspace_id="ws",
            inputs=[file],
            steps=[Step(enhance=Enhance(model=BICUBIC))] if lane == LANE_GPU else [],
            lane=lane,
            priority=1,
            max_attempts=max_attempts,
            output_asset_id=new_asset_id(),
            output_filename="result.mp4",
        )

    async def say(self, order: JobOrder, *, attempt: int, status: StatusChange) -> int:
        """Append to the job's log as somebody else."""
        last = await self.bus.events.last(order.job_id)
        event = Event(job_id=order.job_id, workspace_id=order.workspace_id, attempt=attempt, status=status)
        return await self.bus.events.append(event, after=last.number if last else 0)

    async def until_end(self, order: JobOrder) -> list[Event]:
        """The job's whole log, once it has ended."""
        async with asyncio.timeout(WITHIN):
            return [event async for event in self.bus.events.read(order.job_id)]

    async def until(self, order: JobOrder, condition: Callable[[Event], bool]) -> Event:
        """The first event that meets the condition."""
        async with asyncio.timeout(WITHIN), contextlib.aclosing(self.bus.events.read(order.job_id)) as events:  # type: ignore[type-var]  # readers are generators
            async for event in events:
                if condition(event):
                    return event
        raise AssertionError("the job ended without it")

    async def until_said(self, order: JobOrder) -> str:
        """The text of the job's first log line."""
        return (await self.until(order, lambda event: event.HasField("log"))).log.text

    async def until_next_job(self) -> None:
        """Have another job done. A worker with one slot is through with the job before by then."""
        await self.until_end(await self.submit(SUCCEED))

    async def results(self, order: JobOrder) -> list[str]:
        """Keys of all results stored for the job."""
        prefix = f"{order.workspace_id}/results/{order.job_id}/"
        return [info.key async for info in self.store.list(prefix)]

    def result_key(self, order: JobOrder, attempt: int) -> str:
        return result_key(order.workspace_id, order.job_id, attempt, order.output_asset_id)

    def gate(self) -> Gate:
        """A gate for a script's `gate` action."""
        path = self.folder / f"gate-{new_asset_id()}"
        os.mkfifo(path)
        return Gate(path)

    def leftovers(self) -> list[Path]:
        """What lies in the scratch folder although nothing runs."""
        return [path for path in self.settings.scratch.rglob("*") if path.name != "lock"]


class Gate:
    """A named pipe: whoever reads it waits until it is opened."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def action(self) -> list[str]:
        return ["gate", str(self.path)]

    async def open(self) -> None:
        async with asyncio.timeout(WITHIN):
            await asyncio.to_thread(self.path.write_bytes, b"")


def story(events: list[Event]) -> list[str]:
    """The states a job went through, each with the attempt it is a fact about: `RUNNING 1`."""
    return [f"{state_name(event.status.state)} {event.attempt}" for event in events if event.HasField("status")]


def runs(pid: int) -> bool:
    """Whether a process lives."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
