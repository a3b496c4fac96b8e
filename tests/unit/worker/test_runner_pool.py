"""Runners that are started ahead, seen by who borrows them."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from coordinator.ahead import RunnerPlace
from coordinator.child import RunnerProcess
from coordinator.runner_pool import RunnerPool
from coordinator.settings import RunnerSettings
from framewire.environment import Environment
from framewire.work.v1.work_pb2 import InferenceAddress

CAT = ("/bin/cat",)
"""It waits for what comes from stdin, as a runner does."""
READY = ("/bin/sh", "-c", r"printf '\000\000\000\002\102\000'; exec cat")
"""Says first that it is ready: a length, the tag of the field, an empty message."""
WITHIN = 10.0


class Places:
    """Folders, numbered, and a signal for each that was asked for."""

    def __init__(self, root: Path) -> None:
        self.made: list[Path] = []
        self._root = root
        self._more = asyncio.Event()

    def __call__(self) -> RunnerPlace:
        folder = self._root / str(len(self.made))
        folder.mkdir()
        self.made.append(folder)
        self._more.set()
        return RunnerPlace(folder=folder, inference=InferenceAddress(url="127.0.0.1:1", key="secret"))

    async def until(self, number: int) -> None:
        async with asyncio.timeout(WITHIN):
            while len(self.made) < number:
                self._more.clear()
                await self._more.wait()


@asynccontextmanager
async def pool_of(places: Places, *, delay: float) -> AsyncIterator[RunnerPool]:
    pool = RunnerPool(RunnerSettings(command=CAT, refill_delay=delay, grace=0.5), places)
    await pool.start()
    try:
        yield pool
    finally:
        await pool.stop()


async def test_the_next_runner_is_started_a_while_after_one_was_taken(tmp_path: Path) -> None:
    places = Places(tmp_path)
    async with pool_of(places, delay=0.05) as pool, pool.lend() as runner:
        assert runner.folder == places.made[0]
        assert len(places.made) == 1, "the next one would take the processor from this one's job"
        await places.until(2)


async def test_a_pool_says_when_its_spare_is_ready_and_when_it_is_taken() -> None:
    changed = asyncio.Event()
    pool = RunnerPool(RunnerSettings(command=READY, refill_delay=3600, grace=0.5), changed=changed.set)
    await pool.start()
    try:
        async with asyncio.timeout(WITHIN):
            await changed.wait()
        assert pool.warm == 1
        async with pool.lend() as runner:
            assert runner.warm
            assert pool.warm == 0
        assert not runner.warm, "it has ended"
    finally:
        await pool.stop()


async def test_a_runner_that_has_said_nothing_yet_is_not_ready(tmp_path: Path) -> None:
    places = Places(tmp_path)
    async with pool_of(places, delay=3600) as pool, pool.lend() as runner:
        assert not runner.warm
        assert pool.warm == 0


async def test_a_job_that_comes_before_that_gets_one_at_once(tmp_path: Path) -> None:
    places = Places(tmp_path)
    async with pool_of(places, delay=3600) as pool, pool.lend() as one, pool.lend() as other:
        assert [one.folder, other.folder] == places.made


async def test_a_runner_that_ended_while_it_waited_is_replaced_and_its_folder_removed(tmp_path: Path) -> None:
    places = Places(tmp_path)
    async with pool_of(places, delay=3600) as pool:
        async with pool.lend() as first:
            pass
        assert not first.alive
        pool._refill_now()  # what the timer does
        spare = await pool._from_spare()
        pool._spare = asyncio.ensure_future(_itself(spare))
        os.kill(spare.pid, signal.SIGKILL)
        await spare._process.wait()
        async with pool.lend() as runner:
            assert runner.folder == places.made[2]
        assert not places.made[1].exists()


async def test_a_runner_that_must_not_be_confined_ahead_is_started_for_its_job(tmp_path: Path) -> None:
    places = Places(tmp_path)
    async with pool_of(places, delay=3600) as pool, pool.lend(ahead=False) as runner:
        assert runner.folder is None
        assert runner.alive


async def test_a_stopped_pool_starts_no_runner_any_more(tmp_path: Path) -> None:
    places = Places(tmp_path)
    async with pool_of(places, delay=0.0) as pool:
        async with pool.lend():
            pass
        await pool.stop()
        made = len(places.made)
        pool._refill_now()
        assert len(places.made) == made


def test_what_a_runner_is_told_of_its_place_is_what_it_reads(tmp_path: Path) -> None:
    address = InferenceAddress(url="10.0.0.1:8001", key="secret", shared_memory=True)
    place = RunnerPlace(folder=tmp_path, inference=address)
    assert RunnerPlace.of(Environment(place.variables)) == place
    assert RunnerPlace.of(Environment({})) is None


async def _itself(value: RunnerProcess) -> RunnerProcess:
    return value


@pytest.mark.parametrize("obeys", [True, False])
async def test_a_runner_that_says_more_than_anybody_reads_is_stopped_all_the_same(obeys: bool) -> None:
    flood = "import signal, sys\n" + ("" if obeys else "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n")
    flood += "while True: sys.stdout.buffer.write(b'\\0\\0\\0\\2\\x12\\0' * 9999)"
    runner = await RunnerProcess.start(RunnerSettings(command=(sys.executable, "-c", flood), grace=1.0))
    reports = runner.reports()
    await anext(reports)
    await reports.aclose()
    async with asyncio.timeout(10):
        await runner.stop()
    assert not runner.alive
