"""What every inference server does: the fake, and Triton with frames in shared memory and with frames on the wire."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import wait
from contextlib import ExitStack
from dataclasses import replace

import numpy as np
import pytest
from masked_model import INVERT_MASKED
from recurrent_model import RUNNING_SUM
from triton_server import BICUBIC, RunningTriton

from coordinator.inference.interface import Arena, Block, InferenceServer
from coordinator.inference.triton import TritonServer, TritonSettings
from framewire.errors import ErrorCode, StepError, Unavailable
from framewire.steps.contract import ModelContract
from framewire.testing.inference import FakeInferenceServer, fake_contract, fake_mask_contract, fake_recurrent_contract

WITHIN = 30.0
HEIGHT, WIDTH = 17, 23  # odd on purpose
FRAME = HEIGHT * WIDTH * 3

Connect = Callable[[], InferenceServer]


@pytest.fixture(params=["fake", "triton, shared memory", "triton, raw"])
def connect(request: pytest.FixtureRequest) -> Iterator[Connect]:
    """Makes connections to one server, and closes them afterwards."""
    with ExitStack() as stack:

        def new() -> InferenceServer:
            server = _connect(request)
            stack.callback(server.close)
            return server

        yield new


def _connect(request: pytest.FixtureRequest) -> InferenceServer:
    if request.param == "fake":
        models = [fake_contract(BICUBIC), fake_recurrent_contract(RUNNING_SUM), fake_mask_contract(INVERT_MASKED)]
        return FakeInferenceServer(models)
    running: RunningTriton = request.getfixturevalue("triton_server")
    return TritonServer(TritonSettings(url=running.url, key=running.key, shared_memory="shared" in request.param))


@pytest.fixture
def server(connect: Connect) -> InferenceServer:
    return connect()


@pytest.fixture
def contract(server: InferenceServer) -> ModelContract:
    return server.contract(BICUBIC)


@pytest.fixture
def arena(server: InferenceServer) -> Iterator[Arena]:
    arena = server.open_arena(block_bytes=8 * FRAME * 4, blocks=6)
    yield arena
    arena.close()


def flat(block: Block, levels: list[int]) -> None:
    """Fill a block with frames of one grey level each: every upscaler must keep those as they are."""
    for frame, level in zip(block.array((len(levels), HEIGHT, WIDTH, 3)), levels, strict=True):
        frame[...] = level


def levels_of(block: Block, frames: int) -> list[set[int]]:
    return [set(np.unique(frame).tolist()) for frame in block.array((frames, 2 * HEIGHT, 2 * WIDTH, 3))]


def test_the_default_model_says_what_it_does(contract: ModelContract) -> None:
    assert contract.name == BICUBIC
    assert contract.scale == 2
    assert contract.size_multiple == 1
    assert contract.max_batch >= 1
    assert contract.license
    assert contract.description


def test_the_list_of_models_holds_the_same_contracts(server: InferenceServer, contract: ModelContract) -> None:
    assert contract in server.models()


def test_a_model_that_is_not_served_is_a_step_error(server: InferenceServer) -> None:
    with pytest.raises(StepError) as caught:
        server.contract("no_such_model")
    assert caught.value.code == ErrorCode.MODEL_UNKNOWN


def test_a_batch_comes_back_larger_and_in_order(server: InferenceServer, contract: ModelContract, arena: Arena) -> None:
    inputs, outputs = arena.acquire(timeout=1), arena.acquire(timeout=1)
    flat(inputs, [0, 7, 128, 255])
    server.infer(contract, inputs, outputs, frames=4, height=HEIGHT, width=WIDTH).result(WITHIN)
    assert levels_of(outputs, 4) == [{0}, {7}, {128}, {255}]


def test_requests_in_flight_together_keep_their_own_frames(
    server: InferenceServer, contract: ModelContract, arena: Arena
) -> None:
    blocks = [(arena.acquire(timeout=1), arena.acquire(timeout=1)) for _ in range(3)]
    for level, (inputs, _) in enumerate(blocks):
        flat(inputs, [10 * level, 10 * level + 1])
    futures = [
        server.infer(contract, inputs, outputs, frames=2, height=HEIGHT, width=WIDTH) for inputs, outputs in blocks
    ]
    wait(futures, WITHIN)
    assert [future.exception(0) for future in futures] == [None] * 3
    assert [levels_of(outputs, 2) for _, outputs in blocks] == [[{0}, {1}], [{10}, {11}], [{20}, {21}]]


def test_a_block_can_be_used_again(server: InferenceServer, contract: ModelContract, arena: Arena) -> None:
    inputs, outputs = arena.acquire(timeout=1), arena.acquire(timeout=1)
    for level in (3, 200):
        flat(inputs, [level])
        server.infer(contract, inputs, outputs, frames=1, height=HEIGHT, width=WIDTH).result(WITHIN)
        assert levels_of(outputs, 1) == [{level}]


def test_more_frames_than_the_model_takes_are_refused(
    server: InferenceServer, contract: ModelContract, arena: Arena
) -> None:
    inputs, outputs = arena.acquire(timeout=1), arena.acquire(timeout=1)
    with pytest.raises(ValueError, match="frames"):
        server.infer(contract, inputs, outputs, frames=contract.max_batch + 1, height=1, width=1)


def test_a_batch_that_does_not_fit_its_blocks_is_refused(
    server: InferenceServer, contract: ModelContract, arena: Arena
) -> None:
    inputs, outputs = arena.acquire(timeout=1), arena.acquire(timeout=1)
    with pytest.raises(ValueError, match="bytes"):
        server.infer(contract, inputs, outputs, frames=1, height=1000, width=1000)


def test_a_view_of_a_block_is_its_memory(arena: Arena) -> None:
    block = arena.acquire(timeout=1)
    block.array((2, 3))[...] = 9
    assert block.array((6,)).tolist() == [9] * 6
    assert block.array((6,)).flags.c_contiguous


def test_blocks_do_not_overlap(arena: Arena) -> None:
    blocks = [arena.acquire(timeout=1) for _ in range(6)]
    for number, block in enumerate(blocks):
        block.array((8 * FRAME * 4,))[...] = number
    assert [set(np.unique(block.array((8 * FRAME * 4,)))) for block in blocks] == [{n} for n in range(6)]


def test_when_all_blocks_are_lent_the_next_one_has_to_wait(arena: Arena) -> None:
    lent = [arena.acquire(timeout=1) for _ in range(6)]
    with pytest.raises(Unavailable) as caught:
        arena.acquire(timeout=0.01)
    assert caught.value.code == ErrorCode.INFERENCE_UNAVAILABLE
    threading.Timer(0.01, lent[0].release).start()
    assert arena.acquire(timeout=WITHIN).array((1,)).size == 1


def test_a_block_given_back_twice_is_lent_to_one_only(arena: Arena) -> None:
    blocks = [arena.acquire(timeout=1) for _ in range(6)]
    blocks[0].release()
    blocks[0].release()
    arena.acquire(timeout=1)
    with pytest.raises(Unavailable):
        arena.acquire(timeout=0.01)


def test_closing_an_arena_wakes_who_waits_for_a_block(arena: Arena) -> None:
    for _ in range(6):
        arena.acquire(timeout=1)
    threading.Timer(0.01, arena.close).start()
    with pytest.raises(Unavailable):
        arena.acquire(timeout=WITHIN)
    arena.close()


def test_a_closed_server_answers_nothing_and_says_so(
    server: InferenceServer, contract: ModelContract, arena: Arena
) -> None:
    inputs, outputs = arena.acquire(timeout=1), arena.acquire(timeout=1)
    server.close()
    server.close()
    with pytest.raises(Unavailable):
        server.models()
    future = server.infer(contract, inputs, outputs, frames=1, height=HEIGHT, width=WIDTH)
    assert isinstance(future.exception(WITHIN), Unavailable)


def test_connections_do_not_see_each_others_blocks(connect: Connect, contract: ModelContract) -> None:
    servers = [connect(), connect()]
    arenas = [server.open_arena(block_bytes=FRAME * 4, blocks=2) for server in servers]
    for level, (server, arena) in enumerate(zip(servers, arenas, strict=True), start=40):
        inputs, outputs = arena.acquire(timeout=1), arena.acquire(timeout=1)
        flat(inputs, [level])
        server.infer(contract, inputs, outputs, frames=1, height=HEIGHT, width=WIDTH).result(WITHIN)
        assert levels_of(outputs, 1) == [{level}]


@pytest.fixture
def recurrent(server: InferenceServer) -> ModelContract:
    return server.contract(RUNNING_SUM)


@pytest.fixture
def states(server: InferenceServer, recurrent: ModelContract) -> Iterator[list[Block]]:
    """Two blocks for a state, of which the first is the start of a film."""
    arena = server.open_arena(block_bytes=recurrent.state_bytes(HEIGHT, WIDTH), blocks=2)
    blocks: list[Block] = [arena.acquire(timeout=1), arena.acquire(timeout=1)]
    blocks[0].array((recurrent.state_bytes(HEIGHT, WIDTH),))[...] = 0
    yield blocks
    arena.close()


def first_pixels(block: Block, frames: int) -> list[int]:
    return [int(frame[0, 0, 0]) for frame in block.array((frames, HEIGHT, WIDTH, 3))]


def test_what_a_model_remembers_goes_into_one_block_and_comes_from_another(
    server: InferenceServer, recurrent: ModelContract, arena: Arena, states: list[Block]
) -> None:
    inputs, outputs = arena.acquire(timeout=1), arena.acquire(timeout=1)
    before, after = states
    for levels, expected in ([100, 100], [100, 200]), ([100, 1], [44, 45]):
        flat(inputs, levels)
        server.infer(recurrent, inputs, outputs, frames=2, height=HEIGHT, width=WIDTH, state=(before, after)).result(
            WITHIN
        )
        assert first_pixels(outputs, 2) == expected
        before, after = after, before
    assert recurrent.remembers
    assert set(before.array((FRAME * 4,)).view(np.float32).tolist()) == {45.0}


def test_a_model_that_remembers_takes_a_state_and_no_other_does(
    server: InferenceServer, contract: ModelContract, recurrent: ModelContract, arena: Arena, states: list[Block]
) -> None:
    inputs, outputs = arena.acquire(timeout=1), arena.acquire(timeout=1)
    with pytest.raises(ValueError, match="give it state"):
        server.infer(recurrent, inputs, outputs, frames=1, height=HEIGHT, width=WIDTH)
    with pytest.raises(ValueError, match="no state"):
        server.infer(contract, inputs, outputs, frames=1, height=HEIGHT, width=WIDTH, state=(states[0], states[1]))


def test_a_mask_goes_in_with_its_frames(server: InferenceServer, arena: Arena) -> None:
    inverts = server.contract(INVERT_MASKED)
    inputs, outputs, mask = (arena.acquire(timeout=1) for _ in range(3))
    flat(inputs, [10, 200])
    masked = mask.array((2, HEIGHT, WIDTH, 1))
    masked[...] = 0
    masked[0, 2:5, 3:9] = masked[1, 7:8, 0:4] = 255
    server.infer(inverts, inputs, outputs, frames=2, height=HEIGHT, width=WIDTH, mask=mask).result(WITHIN)
    frames = inputs.array((2, HEIGHT, WIDTH, 3))
    assert np.array_equal(outputs.array(frames.shape), np.where(masked == 255, 255 - frames, frames))


def test_a_model_that_takes_a_mask_gets_one_and_no_other_does(
    server: InferenceServer, contract: ModelContract, arena: Arena
) -> None:
    inputs, outputs, mask = (arena.acquire(timeout=1) for _ in range(3))
    with pytest.raises(ValueError, match="takes a mask"):
        server.infer(server.contract(INVERT_MASKED), inputs, outputs, frames=1, height=HEIGHT, width=WIDTH)
    with pytest.raises(ValueError, match="no mask"):
        server.infer(contract, inputs, outputs, frames=1, height=HEIGHT, width=WIDTH, mask=mask)


def test_a_picture_larger_than_the_model_takes_is_refused(
    server: InferenceServer, contract: ModelContract, arena: Arena
) -> None:
    small = replace(contract, max_pixels=HEIGHT * WIDTH - 1)
    with pytest.raises(ValueError, match="pixels"):
        server.infer(small, arena.acquire(timeout=1), arena.acquire(timeout=1), frames=1, height=HEIGHT, width=WIDTH)
