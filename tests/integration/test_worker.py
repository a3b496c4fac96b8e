"""A worker on a real NATS and a real S3; then the whole process, with real runners and a real Triton."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import select
import signal
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from clips import Clip, make_clip
from servers import NatsServer, S3Server
from triton_server import RunningTriton
from worker_rig import SUCCEED, WITHIN, Rig, runs, story

from framewire.bus.nats import NatsBus
from framewire.storage.s3 import S3ObjectStore
from framewire.v1.job_pb2 import Event
from framewire.v1.step_pb2 import LANE_GPU
from framewire.work.v1.work_pb2 import JobOrder


@pytest.fixture
def rig(nats_bus: NatsBus, s3_store: S3ObjectStore, tmp_path: Path) -> Rig:
    rig = Rig(nats_bus, s3_store, tmp_path)
    rig.settings = replace(rig.settings, patience=30.0)
    return rig


async def test_a_job_runs_on_real_servers(rig: Rig, tmp_path: Path) -> None:
    async with rig.worker():
        order = await rig.submit(SUCCEED)
        events = await rig.until_end(order)
    assert story(events) == ["QUEUED 0", "RUNNING 1", "SUCCEEDED 1"]
    await rig.store.get_file(rig.result_key(order, 1), tmp_path / "result")
    assert (tmp_path / "result").read_text() == "a result"
    assert await rig.bus.jobs.pull([LANE_GPU], wait=0) is None
    assert await rig.bus.workers.live() == []


async def test_a_job_survives_a_restart_of_nats_in_the_same_attempt(rig: Rig, own_nats_server: NatsServer) -> None:
    gate = rig.gate()
    script = [["say", "on"], gate.action(), *SUCCEED]
    async with rig.worker(heartbeat=0.5):
        order = await rig.submit(script)
        await rig.until_said(order)
        await asyncio.to_thread(own_nats_server.kill)
        await gate.open()  # the runner goes on and reports while nobody can be told
        await asyncio.to_thread(own_nats_server.start)
        events = await rig.until_end(order)
    assert story(events) == ["QUEUED 0", "RUNNING 1", "SUCCEEDED 1"]


async def test_a_running_job_is_cancelled_on_real_servers(rig: Rig) -> None:
    async with rig.worker():
        order = await rig.submit([["say_pid"], ["hang"]])
        pid = int(await rig.until_said(order))
        asked = time.monotonic()
        await rig.bus.cancellations.request(order.job_id)
        events = await rig.until_end(order)
        assert time.monotonic() - asked < 2.0
    assert story(events)[-1] == "CANCELLED 1"
    assert not runs(pid)
    assert await rig.bus.jobs.pull([LANE_GPU], wait=0) is None


async def test_two_workers_share_the_queue_and_run_each_job_once(rig: Rig) -> None:
    async with rig.worker(name="a", slots=1), rig.worker(name="b", slots=1):
        orders = [await rig.submit(SUCCEED) for _ in range(6)]
        logs = await asyncio.gather(*map(rig.until_end, orders))
    assert [story(log) for log in logs] == [["QUEUED 0", "RUNNING 1", "SUCCEEDED 1"]] * 6


# The whole process.


class Station:
    """Starts `python -m coordinator` on real servers, and orders clips from it."""

    def __init__(self, rig: Rig, variables: dict[str, str]) -> None:
        self.rig = rig
        self._variables = variables

    @contextlib.asynccontextmanager
    async def worker(self, name: str, *, stderr: int | None = None) -> AsyncIterator[Process]:
        """A worker process that is ready."""
        reading, writing = os.pipe()
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "coordinator",
            env=self._variables | {"FRAMEWIRE_WORKER": name, "FRAMEWIRE_READY_FD": str(writing)},
            pass_fds=(writing,),
            stderr=stderr,
        )
        os.close(writing)
        try:
            async with asyncio.timeout(WITHIN):
                facts = json.loads(await asyncio.to_thread(_read_all, reading))
            assert facts == {"worker": name, "lanes": ["gpu", "cpu"], "slots": 3}
            yield process
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()

    async def submit(self, clip: Clip) -> JobOrder:
        """Order the clip twice as large."""
        order = await self.rig.order([])
        path = make_clip(self.rig.folder / "clip.mp4", clip)
        await self.rig.store.put_file(order.inputs[0].object_key, path)
        order.inputs[0].ClearField("size_bytes")
        order.inputs[0].ClearField("sha256")
        await self.rig.bus.jobs.publish(order)
        return order

    async def until_processing(self, order: JobOrder) -> None:
        def is_processing(event: Event) -> bool:
            return event.progress.stage == "process" and event.progress.frames_done > 0

        await self.rig.until(order, is_processing)


def _read_all(descriptor: int) -> bytes:
    with os.fdopen(descriptor, "rb") as pipe:
        return pipe.read()


@pytest.fixture
def station(
    nats_bus: NatsBus,
    s3_store: S3ObjectStore,
    own_nats_server: NatsServer,
    s3_server: S3Server,
    triton_server: RunningTriton,
    tmp_path: Path,
) -> Station:
    rig = Rig(nats_bus, s3_store, tmp_path)
    variables = {
        "PATH": os.environ["PATH"],
        "FRAMEWIRE_NATS_URL": own_nats_server.url,
        "FRAMEWIRE_S3_ENDPOINT": s3_server.endpoint,
        "FRAMEWIRE_S3_BUCKET": s3_store._settings.bucket,
        "FRAMEWIRE_S3_ACCESS_KEY": s3_server.access_key,
        "FRAMEWIRE_S3_SECRET_KEY": s3_server.secret_key,
        "FRAMEWIRE_TRITON_URL": triton_server.url,
        "FRAMEWIRE_TRITON_KEY": triton_server.key,
        "FRAMEWIRE_SCRATCH": str(rig.settings.scratch),
    }
    return Station(rig, variables)


SMALL = Clip()
"""64x48 H.264, 25 frames, AAC: done in a moment."""
LONG = Clip(width=320, height=240, frames=400, sounds=())
"""320x240 H.264, 400 frames: long enough to be interrupted."""


async def test_a_real_clip_is_enlarged_by_the_whole_process(station: Station) -> None:
    async with station.worker("whole") as process:
        order = await station.submit(SMALL)
        events = await station.rig.until_end(order)
        process.terminate()
        assert await asyncio.wait_for(process.wait(), 10) == 0
    assert story(events) == ["RUNNING 1", "SUCCEEDED 1"]
    status = events[-1].status
    assert (status.outputs[0].media.video.width, status.outputs[0].media.video.height) == (128, 96)
    assert (status.fidelity.frames_in, status.fidelity.frames_out) == (25, 25)
    assert all(audio.identical for audio in status.fidelity.audio)
    assert station.rig.leftovers() == []


async def test_a_worker_that_is_told_to_stop_gives_its_job_to_another_and_leaves_nothing(station: Station) -> None:
    async with station.worker("first") as process:
        order = await station.submit(LONG)
        await station.until_processing(order)
        children = _children(process.pid)
        process.terminate()
        assert await asyncio.wait_for(process.wait(), 10) == 0
        assert children
        assert not any(runs(pid) for pid in children)
        assert station.rig.leftovers() == []
    async with station.worker("second"):
        async with asyncio.timeout(60):
            events = [event async for event in station.rig.bus.events.read(order.job_id)]
    assert story(events) == ["RUNNING 1", "QUEUED 0", "RUNNING 1", "SUCCEEDED 1"]


async def test_a_worker_that_is_killed_takes_its_runners_along_and_another_finishes_its_job_once(
    station: Station,
) -> None:
    async with station.worker("first") as process:
        order = await station.submit(LONG)
        await station.until_processing(order)
        children = _children(process.pid)
        process.kill()
        await process.wait()
    assert children
    async with station.worker("second"):
        async with asyncio.timeout(60):
            events = [event async for event in station.rig.bus.events.read(order.job_id)]
        assert not any(runs(pid) for pid in children)
        assert len([path for path in station.rig.settings.scratch.iterdir() if path.is_dir()]) == 1
    assert story(events) == ["RUNNING 1", "RUNNING 2", "SUCCEEDED 2"]
    assert await station.rig.results(order) == [station.rig.result_key(order, 2)]


async def test_a_second_sigterm_ends_the_process_at_once(station: Station, own_nats_server: NatsServer) -> None:
    async with station.worker("hasty", stderr=PIPE) as process:
        order = await station.submit(LONG)
        await station.until_processing(order)
        await asyncio.to_thread(own_nats_server.kill)  # so that the job cannot be given back, and the drain takes long
        process.terminate()
        assert process.stderr is not None
        async with asyncio.timeout(WITHIN):
            while b"stopping" not in await process.stderr.readline():
                pass
        process.terminate()
        assert await asyncio.wait_for(process.wait(), 2) == 128 + signal.SIGTERM
        await process.stderr.read()


def _one_ends(pids: list[int]) -> bool:
    """Wait for the first of these processes to end; False if none does."""
    with contextlib.ExitStack() as stack:
        poll = select.poll()
        for pid in pids:
            descriptor = os.pidfd_open(pid)
            stack.callback(os.close, descriptor)
            poll.register(descriptor, select.POLLIN)
        return bool(poll.poll(WITHIN * 1000))


def _children(pid: int) -> list[int]:
    """Process ids of a process's children."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


async def test_a_worker_that_was_paused_while_another_did_its_job_changes_nothing_when_it_comes_back(
    station: Station,
) -> None:
    async with station.worker("paused") as paused:
        order = await station.submit(LONG)
        await station.until_processing(order)
        runners = _children(paused.pid)
        family = [*runners, paused.pid]
        for pid in family:
            os.kill(pid, signal.SIGSTOP)
        stopped = time.monotonic()
        async with station.worker("other") as other:
            running = await station.rig.until(order, lambda event: event.status.worker == "other")
            assert running.attempt == 2
            # the queue misses a worker after 4 s; the new one has to start, on a machine that may be busy
            assert time.monotonic() - stopped < 25.0
            events = await station.rig.until_end(order)
            other.terminate()
            assert await asyncio.wait_for(other.wait(), 10) == 0
        for pid in family:
            os.kill(pid, signal.SIGCONT)
        assert await asyncio.to_thread(_one_ends, runners)  # it has seen that the job is not its own any more
        paused.terminate()
        assert await asyncio.wait_for(paused.wait(), 10) == 0
    assert story(events) == ["RUNNING 1", "RUNNING 2", "SUCCEEDED 2"]
    assert await station.rig.bus.events.last(order.job_id) == events[-1]
    assert await station.rig.results(order) == [station.rig.result_key(order, 2)]
    assert station.rig.leftovers() == []
