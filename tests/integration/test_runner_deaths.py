"""Runners that die, hang or talk nonsense in the middle of real work: one typed error, and nothing left behind."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path

import pytest
from clips import Clip, make_clip
from triton_server import BICUBIC, RunningTriton
from worker_rig import runs

from coordinator.child import RunnerProcess
from coordinator.inference.triton import TritonServer, TritonSettings
from coordinator.settings import RunnerSettings, runner_environment
from framewire.errors import ErrorCode, WorkerError
from framewire.v1.job_pb2 import OutputSettings
from framewire.v1.step_pb2 import Enhance, Step
from framewire.work.v1.work_pb2 import InferenceAddress, RunnerOrder, RunnerReport

SETTINGS = RunnerSettings(environment=runner_environment(os.environ))
SILENCE = 1.5
"""Seconds for those that say nothing at all."""
WITHIN = 5.0
"""Seconds for those that may be slow to say the first thing."""
ENDLESS = "import sys, time\nsys.stdin.buffer.read(8)\n"


def order(folder: Path, source: Path, server: RunningTriton | None = None) -> RunnerOrder:
    address = InferenceAddress(url="127.0.0.1:9")
    if server is not None:
        address = InferenceAddress(url=server.url, key=server.key, shared_memory=True)
    return RunnerOrder(
        job_id="job_1",
        attempt=1,
        steps=[Step(enhance=Enhance(model=BICUBIC))] if server else [],
        output=OutputSettings(preset="ultrafast"),
        input_path=str(source),
        output_path=str(folder / "out.mp4"),
        inference=address,
    )


@contextlib.asynccontextmanager
async def started(settings: RunnerSettings) -> AsyncIterator[RunnerProcess]:
    runner = await RunnerProcess.start(settings)
    try:
        yield runner
    finally:
        await runner.stop()


async def until_frames_come(runner: RunnerProcess) -> None:
    async with asyncio.timeout(30), aclosing(runner.reports()) as reports:
        async for report in reports:
            if report.progress.frames_done > 0:
                return


async def all_reports(runner: RunnerProcess) -> list[RunnerReport]:
    async with asyncio.timeout(30), aclosing(runner.reports()) as reports:
        return [report async for report in reports]


async def swept(models: TritonServer) -> int:
    """How many regions were given back, once the batches that were under way have ended."""
    async with asyncio.timeout(30):
        while True:
            try:
                return await asyncio.to_thread(models.sweep_dead_regions)
            except WorkerError as error:
                if "in use" not in error.message:
                    raise


def regions_of(pid: int) -> list[Path]:
    return list(Path("/dev/shm").glob(f"framewire-arena.*.{pid}.*"))


async def test_shared_memory_is_given_back_when_a_runner_is_killed_in_the_middle(
    tmp_path: Path, triton_server: RunningTriton
) -> None:
    # 160x120 H.264, 60 s: long enough to be killed while frames are on their way
    source = make_clip(tmp_path / "in.mp4", Clip(width=160, height=120, frames=1500, sounds=()))
    models = TritonServer(TritonSettings(url=triton_server.url, key=triton_server.key))
    try:
        async with started(SETTINGS) as runner:
            await runner.send(order(tmp_path, source, triton_server))
            await until_frames_come(runner)
            os.kill(runner.pid, signal.SIGKILL)
            with pytest.raises(WorkerError) as death:
                await all_reports(runner)
            assert death.value.code == ErrorCode.RUNNER_CRASHED
            assert "SIGKILL" in death.value.message
            assert regions_of(runner.pid) == []
        assert await swept(models) > 0
        assert models.sweep_dead_regions() == 0
        assert models.models()
    finally:
        models.close()


async def test_a_runner_that_is_stopped_in_the_middle_is_ended_within_its_silence(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mp4", Clip(frames=1000, sounds=()))
    async with started(replace(SETTINGS, silence=WITHIN)) as runner:
        await runner.send(order(tmp_path, source))
        async with asyncio.timeout(30), aclosing(runner.reports()) as reports:
            await anext(reports)
            os.kill(runner.pid, signal.SIGSTOP)
            began = time.monotonic()
            with pytest.raises(WorkerError) as silent:
                async for _ in reports:
                    pass
        assert silent.value.code == ErrorCode.RUNNER_CRASHED
        assert silent.value.retryable
        assert time.monotonic() - began < WITHIN + 5
        pid = runner.pid
    assert not runs(pid)


@pytest.mark.parametrize(
    ("program", "said"),
    [
        ("while True: pass", "said nothing for"),
        ("sys.stdout.buffer.write(b'\\xff' * 100); sys.stdout.flush(); time.sleep(60)", "announced a report of"),
        (
            "sys.stdout.buffer.write(b'\\0\\0\\0\\x08' + b'\\xff' * 8); sys.stdout.flush(); time.sleep(60)",
            "cannot be read",
        ),
        ("sys.stdout.buffer.write(b'\\0\\0\\1\\0half'); sys.stdout.flush()", "exited with code 0 without a report"),
    ],
    ids=["busy", "garbage", "nonsense", "half a report"],
)
async def test_a_runner_that_makes_no_sense_is_ended_with_a_typed_error(
    tmp_path: Path, program: str, said: str
) -> None:
    settings = replace(SETTINGS, command=(sys.executable, "-c", ENDLESS + program), silence=SILENCE)
    async with started(settings) as runner:
        await runner.send(order(tmp_path, tmp_path / "in.mp4"))
        with pytest.raises(WorkerError) as failed:
            await all_reports(runner)
        pid = runner.pid
    assert failed.value.code == ErrorCode.RUNNER_CRASHED
    assert said in failed.value.message
    assert not runs(pid)
