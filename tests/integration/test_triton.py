"""The real server with the built-in model: what it computes, what it leaves behind, how it fails."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import wait
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from recurrent_model import RUNNING_SUM
from servers import free_port, wait_until
from triton_server import BICUBIC, BUILT_IN_MODELS, RunningTriton, start_triton

from coordinator.inference.regions import SHARED_MEMORY, RegionName
from coordinator.inference.triton import TritonServer, TritonSettings
from coordinator.steps.interface import FrameSize
from coordinator.steps.model import ModelStep
from exporters import bicubic
from framewire.errors import ErrorCode, StepError, Unavailable, WorkerError
from framewire.stack import triton
from framewire.steps.contract import ModelContract

WITHIN = 30.0


def connect(running: RunningTriton, *, shared_memory: bool = True, key: str | None = None) -> TritonServer:
    settings = TritonSettings(
        url=running.url, key=running.key if key is None else key, shared_memory=shared_memory, infer_timeout=WITHIN
    )
    return TritonServer(settings)


@pytest.fixture(params=[True, False], ids=["shared memory", "raw"])
def server(request: pytest.FixtureRequest, triton_server: RunningTriton) -> Iterator[TritonServer]:
    server = connect(triton_server, shared_memory=request.param)
    yield server
    server.close()


def upscale(server: TritonServer, frames: np.ndarray) -> np.ndarray:
    contract = server.contract(BICUBIC)
    batch, height, width, _ = frames.shape
    arena = server.open_arena(block_bytes=frames.size * 4, blocks=2)
    try:
        inputs, outputs = arena.acquire(timeout=1), arena.acquire(timeout=1)
        inputs.array(frames.shape)[...] = frames
        server.infer(contract, inputs, outputs, frames=batch, height=height, width=width).result(WITHIN)
        return outputs.array((batch, height * 2, width * 2, 3)).copy()
    finally:
        arena.close()


@pytest.mark.parametrize("shape", [(1, 1, 1, 3), (3, 17, 33, 3), (8, 5, 2, 3), (2, 144, 256, 3)])
def test_frames_come_back_as_torch_interpolates_them(server: TritonServer, shape: tuple[int, ...]) -> None:
    frames = np.random.default_rng(7).integers(0, 256, shape, dtype=np.uint8)
    difference = np.abs(upscale(server, frames).astype(int) - bicubic.reference(frames).astype(int))
    assert difference.max() <= 1
    assert np.mean(difference == 0) >= 0.999


def test_a_batch_larger_than_grpcs_default_limit_goes_through(server: TritonServer) -> None:
    frames = np.full((8, 432, 768, 3), 77, np.uint8)  # 8 MB in, 32 MB out
    assert np.unique(upscale(server, frames)).tolist() == [77]


def test_an_open_arena_has_no_file_and_a_closed_one_no_mapping_in_the_server(triton_server: RunningTriton) -> None:
    server = connect(triton_server)
    arena = server.open_arena(block_bytes=1 << 20, blocks=2)
    mapped = mappings(triton_server)
    arena.close()
    server.close()
    assert not list(SHARED_MEMORY.glob("framewire-arena.*"))
    assert mapped == 1
    assert mappings(triton_server) == 0


def mappings(running: RunningTriton) -> int:
    """Regions of arenas the server has mapped now."""
    return (Path("/proc") / str(running.pid) / "maps").read_text().count("framewire-arena.")


OPENS_AN_ARENA = """
import sys
from coordinator.inference.triton import TritonServer, TritonSettings
server = TritonServer(TritonSettings(url=sys.argv[1], key=sys.argv[2]))
server.open_arena(block_bytes=1 << 20, blocks=2)
print("open", flush=True)
sys.stdin.read()
"""


def test_what_a_killed_process_left_is_swept_and_what_a_living_one_uses_is_not(triton_server: RunningTriton) -> None:
    argv = [sys.executable, "-c", OPENS_AN_ARENA, triton_server.url, triton_server.key]
    server = connect(triton_server)
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        arena = server.open_arena(block_bytes=1 << 20, blocks=1)
        assert server.sweep_dead_regions() == 0
        process.kill()
    assert not list(SHARED_MEMORY.glob("framewire-arena.*"))
    assert mappings(triton_server) == 2
    assert server.sweep_dead_regions() == 1
    assert mappings(triton_server) == 1
    arena.close()
    server.close()


def test_files_of_processes_that_died_before_they_could_unlink_them_are_swept(triton_server: RunningTriton) -> None:
    mine = RegionName.new()
    dead = RegionName(host=mine.host, pid=mine.pid, start=mine.start + 1, random="dead")
    elsewhere = RegionName(host="0" * 12, pid=1, start=1, random="elsewhere")
    server = connect(triton_server)
    try:
        for name in (mine, dead, elsewhere):
            name.file.touch()
        server.sweep_dead_regions()
        assert [name.file.exists() for name in (mine, dead, elsewhere)] == [True, False, True]
    finally:
        server.close()
        for name in (mine, dead, elsewhere):
            name.file.unlink(missing_ok=True)


def test_too_little_shared_memory_is_found_out_when_the_arena_is_opened(triton_server: RunningTriton) -> None:
    server = connect(triton_server)
    with pytest.raises(WorkerError, match="shared memory") as caught:
        server.open_arena(block_bytes=shutil.disk_usage(SHARED_MEMORY).total + 1, blocks=1)
    server.close()
    assert caught.value.code == ErrorCode.INFERENCE_FAILED
    assert not list(SHARED_MEMORY.glob("framewire-arena.*"))


def test_without_the_key_no_memory_is_mapped_and_waiting_is_not_advised(triton_server: RunningTriton) -> None:
    server = connect(triton_server, key="guess")
    with pytest.raises(WorkerError, match="FRAMEWIRE_TRITON_KEY") as caught:
        server.open_arena(block_bytes=4096, blocks=1)
    server.close()
    assert not caught.value.retryable
    assert mappings(triton_server) == 0


def test_the_key_can_be_hidden_from_other_users_and_still_opens(triton_server: RunningTriton) -> None:
    arguments = Path("/proc") / str(triton_server.pid) / "cmdline"
    assert triton_server.key.encode() in arguments.read_bytes()
    assert triton.hide_key(triton_server.pid, triton_server.key)
    assert triton_server.key.encode() not in arguments.read_bytes()
    server = connect(triton_server)
    assert BICUBIC in [contract.name for contract in server.models()]
    server.close()


def test_no_server_at_the_address_is_worth_another_try() -> None:
    server = TritonServer(TritonSettings(url=f"127.0.0.1:{free_port()}", shared_memory=False))
    with pytest.raises(Unavailable) as caught:
        server.contract(BICUBIC)
    server.close()
    assert caught.value.code == ErrorCode.INFERENCE_UNAVAILABLE
    assert caught.value.retryable


def test_after_a_restart_old_arenas_are_worth_another_try_and_new_ones_work(tmp_path: Path) -> None:
    port = free_port()
    with start_triton(tmp_path, port=port) as first:
        server = connect(first)
        contract = server.contract(BICUBIC)
        arena = server.open_arena(block_bytes=1 << 16, blocks=2)
        blocks = arena.acquire(timeout=1), arena.acquire(timeout=1)
        os.kill(first.pid, signal.SIGKILL)
        lost = server.infer(contract, *blocks, frames=1, height=8, width=8)
        assert isinstance(lost.exception(WITHIN), Unavailable)
    with start_triton(tmp_path, port=port) as second:
        server = connect(second)
        wait_until(lambda: answers(server), "the connection to come back")
        lost = server.infer(contract, *blocks, frames=1, height=8, width=8)
        assert isinstance(lost.exception(WITHIN), Unavailable)
        assert upscale(server, np.full((1, 8, 8, 3), 5, np.uint8)).max() == 5
        server.close()
        arena.close()


def answers(server: TritonServer) -> bool:
    try:
        return bool(server.models())
    except Unavailable:
        return False


def test_a_server_whose_backend_process_died_ends_instead_of_failing_every_request(tmp_path: Path) -> None:
    with start_triton(tmp_path) as running:
        server = connect(running, shared_memory=False)
        os.kill(stubs(running)[0], signal.SIGKILL)
        wait_until(lambda: has_ended(running.pid), "the server to end")
        with pytest.raises(Unavailable):
            server.models()
        server.close()


def has_ended(pid: int) -> bool:
    """Whether a process, or what its parent has not looked at yet, is all that is left."""
    try:
        return (Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def stubs(running: RunningTriton) -> list[int]:
    """The server's backend processes, whichever of its threads started them."""
    tasks = (Path("/proc") / str(running.pid) / "task").iterdir()
    return [int(child) for task in tasks for child in (task / "children").read_text().split()]


def test_a_model_that_does_not_load_leaves_the_others_served(tmp_path: Path) -> None:
    models = tmp_path / "models"
    shutil.copytree(BUILT_IN_MODELS, models)
    broken = models / "broken"
    shutil.copytree(models / BICUBIC, broken)
    config = (broken / "config.pbtxt").read_text().replace(BICUBIC, "broken")
    (broken / "config.pbtxt").write_text(config)
    (broken / "1" / "model.onnx").write_bytes(b"not a graph")
    with start_triton(tmp_path, models) as running:
        server = connect(running)
        assert {contract.name for contract in server.models()} == {folder.name for folder in BUILT_IN_MODELS.iterdir()}
        with pytest.raises(StepError) as caught:
            server.contract("broken")
        assert caught.value.code == ErrorCode.MODEL_UNKNOWN
        server.close()
    assert "broken" in (tmp_path / "triton.log").read_text()


def test_nothing_is_left_of_a_stopped_server(tmp_path: Path) -> None:
    with start_triton(tmp_path) as running:
        processes = [running.pid, *stubs(running)]
        assert len(processes) > 1
    wait_until(lambda: not any((Path("/proc") / str(pid)).exists() for pid in processes), "its processes to end")
    assert not list(SHARED_MEMORY.glob(f"{running.shm_prefix}*"))


PICTURE = FrameSize(height=90, width=130)


def through(server: TritonServer, contract: ModelContract, frames: np.ndarray, batches: int = 1) -> list[np.ndarray]:
    """The frames so many times through a step of this model, all batches under way together."""
    step = ModelStep(server, contract)
    large = PICTURE.times(contract.scale)
    arena = server.open_arena(block_bytes=len(frames) * large.bytes, blocks=2 * batches)
    blocks = [(arena.acquire(timeout=1), arena.acquire(timeout=1)) for _ in range(batches)]
    for inputs, _ in blocks:
        inputs.array(frames.shape)[...] = frames
    futures = [step.submit(*pair, frames=len(frames), size=PICTURE) for pair in blocks]
    wait(futures, WITHIN)
    assert [future.result(0) for future in futures] == [b""] * batches
    return [outputs.array((len(frames), large.height, large.width, 3)).copy() for _, outputs in blocks]


def test_a_recurrent_model_sees_batches_in_order_however_many_are_under_way(server: TritonServer) -> None:
    frames = np.ones((4, PICTURE.height, PICTURE.width, 3), np.uint8)
    results = through(server, server.contract(RUNNING_SUM), frames, batches=5)
    assert [int(frame[0, 0, 0]) for result in results for frame in result] == list(range(1, 21))


def test_tiles_that_overlap_by_what_a_pixel_looks_at_leave_no_seam(server: TritonServer) -> None:
    frames = np.random.default_rng(3).integers(0, 256, (2, PICTURE.height, PICTURE.width, 3), dtype=np.uint8)
    contract = replace(server.contract(BICUBIC), overlap=0, max_pixels=0)
    (whole,) = through(server, contract, frames)

    def error(overlap: int) -> int:
        (tiled,) = through(server, replace(contract, max_pixels=2000, overlap=overlap), frames)
        return int(np.abs(tiled.astype(int) - whole.astype(int)).max())

    assert error(overlap=2) <= 1  # bicubic looks two pixels far
    assert error(overlap=0) > 8
