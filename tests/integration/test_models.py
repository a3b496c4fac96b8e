"""Models come and go on the real Triton: loaded, measured, unloaded, broken."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from recurrent_model import RUNNING_SUM, write_running_sum
from servers import free_port
from triton_server import BICUBIC, BUILT_IN_MODELS, RunningTriton, start_triton

from coordinator.inference.control import TritonControl
from coordinator.inference.keeper import ModelKeeper
from coordinator.inference.meter import MemoryMeter, NvidiaGpus
from coordinator.inference.triton import TritonServer, TritonSettings
from framewire.bus.nats import NatsBus
from framewire.errors import ErrorCode, StepError, Unavailable
from framewire.work.v1.work_pb2 import WorkerStatus

WITHIN = 60.0
MIB = 1 << 20


@pytest.fixture(scope="module")
def own_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A second repository, with a good model and bad ones."""
    models = tmp_path_factory.mktemp("own")
    write_running_sum(models)
    bad_graph(models)
    bad_contract(models)
    (models / "empty").mkdir()
    return models


@pytest.fixture(scope="module")
def empty_triton(tmp_path_factory: pytest.TempPathFactory, own_models: Path) -> Iterator[RunningTriton]:
    """A Triton that has loaded nothing, with one of the built-in models."""
    models = tmp_path_factory.mktemp("models")
    shutil.copytree(BUILT_IN_MODELS / BICUBIC, models / BICUBIC)
    with start_triton(tmp_path_factory.mktemp("triton"), models, more_models=[own_models], load=()) as server:
        yield server


def bad_graph(models: Path) -> None:
    shutil.copytree(models / RUNNING_SUM, models / "bad_graph")
    (models / "bad_graph" / "1" / "model.onnx").write_bytes(b"not a graph")
    rename(models / "bad_graph")


def bad_contract(models: Path) -> None:
    shutil.copytree(models / RUNNING_SUM, models / "bad_contract")
    rename(models / "bad_contract", ('key: "license"', 'key: "other"'))


def rename(folder: Path, *changes: tuple[str, str]) -> None:
    config = folder / "config.pbtxt"
    text = config.read_text().replace(f'name: "{RUNNING_SUM}"', f'name: "{folder.name}"')
    for before, after in changes:
        text = text.replace(before, after)
    config.write_text(text)


def control_of(running: RunningTriton) -> TritonControl:
    server = TritonServer(TritonSettings(url=running.url, key=running.key))
    return TritonControl(server, MemoryMeter(url=running.url, gpus=NvidiaGpus()))


@pytest.fixture
def control(empty_triton: RunningTriton) -> Iterator[TritonControl]:
    control = control_of(empty_triton)
    yield control
    for name, loaded in control.models().items():
        if loaded:
            control.unload(name)
    control.close()


def test_a_model_is_loaded_measured_and_unloaded(control: TritonControl) -> None:
    assert control.models()[RUNNING_SUM] is False
    contract = control.load(RUNNING_SUM)
    control.warm_up(contract)
    held = control.memory(RUNNING_SUM)
    assert contract.remembers
    assert held
    assert 20 * MIB < held < 1000 * MIB  # an interpreter, ONNX Runtime and what a picture needs
    assert control.models()[RUNNING_SUM] is True
    control.unload(RUNNING_SUM)
    assert control.models()[RUNNING_SUM] is False
    assert control.memory(RUNNING_SUM) is None


@pytest.mark.parametrize(
    ("model", "code", "says"),
    [
        ("bad_graph", ErrorCode.MODEL_INVALID, "Protobuf parsing failed"),
        ("bad_contract", ErrorCode.MODEL_INVALID, "license is missing"),
        ("empty", ErrorCode.MODEL_INVALID, "Triton's log says more"),
        ("nobody", ErrorCode.MODEL_UNKNOWN, "no model nobody"),
    ],
)
def test_a_bad_model_says_what_is_wrong_and_the_others_are_served(
    control: TritonControl, model: str, code: ErrorCode, says: str
) -> None:
    control.load(BICUBIC)
    with pytest.raises(StepError, match=says) as caught:
        control.load(model)
    assert caught.value.code == code
    assert not caught.value.retryable
    assert "\n" not in caught.value.message
    assert [name for name, loaded in control.models().items() if loaded] == [BICUBIC]
    control.warm_up(control.load(BICUBIC))


def test_a_model_put_there_while_the_server_runs_can_be_loaded(control: TritonControl, own_models: Path) -> None:
    shutil.copytree(own_models / RUNNING_SUM, own_models / "later")
    rename(own_models / "later")
    try:
        assert control.load("later").name == "later"
    finally:
        control.unload("later")
        shutil.rmtree(own_models / "later")


def test_without_the_key_nothing_is_loaded(empty_triton: RunningTriton) -> None:
    control = TritonControl(
        TritonServer(TritonSettings(url=empty_triton.url, key="guess")),
        MemoryMeter(url=empty_triton.url, gpus=NvidiaGpus()),
    )
    with pytest.raises(Exception, match="FRAMEWIRE_TRITON_KEY"):
        control.load(RUNNING_SUM)
    control.close()


async def test_two_workers_share_a_server_within_what_was_measured(
    control: TritonControl, empty_triton: RunningTriton, nats_bus: NatsBus
) -> None:
    controls = {"w1": control, "w2": control_of(empty_triton)}
    for worker in controls:
        await nats_bus.workers.announce(WorkerStatus(worker=worker))

    def keeper(worker: str, budget: int = 0) -> ModelKeeper:
        return ModelKeeper(controls[worker], nats_bus.models, nats_bus.workers, worker=worker, budget=budget)

    await keeper("w1").introduce()
    known = {model.name: model.memory_bytes for model in await keeper("w2").catalogue()}
    assert set(known) == {BICUBIC, RUNNING_SUM}  # and not those that cannot be used
    budget = max(known.values()) + min(known.values()) // 2  # either, not both
    keepers = [keeper(worker, budget) for worker in controls]
    await keepers[0].introduce()  # both are loaded: it has to come within its budget
    assert keepers[0].counters.evictions == 1

    async def use(keeper: ModelKeeper, model: str) -> None:
        async with keeper.lease([model], purpose=f"job {model}", told=ignore):
            assert [name for name, loaded in control.models().items() if loaded] == [model]

    async with asyncio.timeout(WITHIN):
        await use(keepers[0], BICUBIC)
        await asyncio.gather(use(keepers[0], BICUBIC), use(keepers[1], RUNNING_SUM))
    assert 2 <= sum(keeper.counters.evictions for keeper in keepers) <= 3
    controls["w2"].close()


async def ignore(_line: str) -> None: ...


def test_a_model_whose_process_dies_over_a_batch_is_worth_another_try_and_the_next_job_works(tmp_path: Path) -> None:
    port = free_port()
    with start_triton(tmp_path, load=(), port=port) as running:
        control = control_of(running)
        contract = control.load(BICUBIC)
        server = TritonServer(TritonSettings(url=running.url, key=running.key))
        arena = server.open_arena(block_bytes=1 << 20, blocks=2)
        blocks = arena.acquire(timeout=1), arena.acquire(timeout=1)
        tasks = (Path("/proc") / str(running.pid) / "task").iterdir()
        for child in [int(child) for task in tasks for child in (task / "children").read_text().split()]:
            os.kill(child, signal.SIGKILL)
        failed = server.infer(contract, *blocks, frames=1, height=8, width=8)
        assert isinstance(failed.exception(WITHIN), Unavailable)
        server.close()
        control.close()
    with start_triton(tmp_path, load=(), port=port) as running:  # as a supervisor does
        control = control_of(running)
        control.warm_up(control.load(BICUBIC))
        control.close()


def test_the_memory_of_a_server_elsewhere_cannot_be_told() -> None:
    meter = MemoryMeter(url="triton.example:8001", gpus=NvidiaGpus())
    assert meter.held_by("any") is None
    assert meter.budget() == 0


def test_models_may_have_a_share_of_this_machine_by_default() -> None:
    budget = MemoryMeter(url="127.0.0.1:1", gpus=NvidiaGpus()).budget()
    assert budget > 256 * MIB
    assert np.log2(budget) < 50
