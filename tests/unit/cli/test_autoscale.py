"""`framewire autoscale`: commands that are run as the backlog goes."""

from __future__ import annotations

from pathlib import Path

import pytest

from framewire.cli.autoscale import Autoscaler, Commands
from framewire.cli.screen import Screen
from framewire.jobs.scaling import Action, ScalingRules
from framewire.testing.bus import MemoryBus
from framewire.v1.step_pb2 import LANE_CPU, LANE_GPU
from framewire.work.v1.work_pb2 import WorkerStatus


@pytest.fixture
def bus() -> MemoryBus:
    return MemoryBus()


def autoscaler(folder: Path, *, start: str = "", above: int = 2) -> Autoscaler:
    commands = Commands(
        start=start or f"echo $FRAMEWIRE_LANE $FRAMEWIRE_WAITING >> {folder}/said", stop=f"echo stop >> {folder}/said"
    )
    return Autoscaler(LANE_GPU, ScalingRules(above=above, idle=0.0, boot=60.0), commands, Screen(as_json=True))


async def test_workers_are_rented_by_what_waits_inside_and_outside_the_queue_and_given_back_when_idle(
    bus: MemoryBus, tmp_path: Path
) -> None:
    scaler = autoscaler(tmp_path)
    assert await scaler.look(bus) is Action.NOTHING
    await bus.jobs.announce_held_back(LANE_GPU, 3)
    assert await scaler.look(bus) is Action.START
    assert await scaler.look(bus) is Action.NOTHING
    rented = WorkerStatus(worker="rented", lanes=[LANE_GPU], overflow_after=2, running_job_ids=["job_1"])
    await bus.workers.announce(rented)
    await bus.jobs.announce_held_back(LANE_GPU, 0)
    assert await scaler.look(bus) is Action.NOTHING
    del rented.running_job_ids[:]
    await bus.workers.announce(rented)
    assert await scaler.look(bus) is Action.STOP
    assert (tmp_path / "said").read_text().splitlines() == ["gpu 3", "stop"]


async def test_a_start_that_fails_is_run_again(
    bus: MemoryBus, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scaler = autoscaler(tmp_path, start="exit 7")
    await bus.jobs.announce_held_back(LANE_GPU, 3)
    assert [await scaler.look(bus) for _ in range(2)] == [Action.START, Action.START]
    assert capsys.readouterr().out.count('"exitCode": 7') == 2


async def test_workers_of_ones_own_and_of_another_lane_are_not_given_back(bus: MemoryBus, tmp_path: Path) -> None:
    scaler = autoscaler(tmp_path)
    await bus.workers.announce(WorkerStatus(worker="own", lanes=[LANE_GPU]))
    await bus.workers.announce(WorkerStatus(worker="other", lanes=[LANE_CPU], overflow_after=0))
    assert [await scaler.look(bus) for _ in range(2)] == [Action.NOTHING, Action.NOTHING]
