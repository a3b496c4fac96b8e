"""A step that is one model: batches in order, what it remembers, pictures in tiles."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from coordinator.steps.interface import FrameSize
from coordinator.steps.model import ModelStep
from coordinator.steps.tiles import plan_tiles
from framewire.errors import ErrorCode, StepError, Unavailable, WorkerError
from framewire.steps.contract import ModelContract
from framewire.testing.inference import FakeBlock, FakeInferenceServer, fake_contract, fake_recurrent_contract

SIZE = FrameSize(height=12, width=20)
WITHIN = 10.0
REMEMBERS = fake_recurrent_contract()


class Film:
    """Submits batches of frames of one level each, and reads what came back."""

    def __init__(self, server: FakeInferenceServer, contract: ModelContract, size: FrameSize = SIZE) -> None:
        self.step = ModelStep(server, contract)
        self._size = size
        self._scale = contract.scale
        self._arena = server.open_arena(block_bytes=8 * size.times(contract.scale).bytes, blocks=16)

    def submit(self, levels: Sequence[int], *, keep_state: bool = False) -> tuple[Future[bytes], FakeBlock]:
        frames = np.empty((len(levels), self._size.height, self._size.width, 3), np.uint8)
        frames[...] = np.array(levels, np.uint8).reshape(-1, 1, 1, 1)
        return self.submit_frames(frames, keep_state=keep_state)

    def submit_frames(self, frames: NDArray[np.uint8], *, keep_state: bool = False) -> tuple[Future[bytes], FakeBlock]:
        inputs, outputs = self._arena.acquire(timeout=1), self._arena.acquire(timeout=1)
        inputs.array(frames.shape)[...] = frames
        future = self.step.submit(inputs, outputs, frames=len(frames), size=self._size, keep_state=keep_state)
        return future, outputs

    def pictures(self, outputs: FakeBlock, frames: int) -> NDArray[np.uint8]:
        size = self._size.times(self._scale)
        return outputs.array((frames, size.height, size.width, 3))

    def levels(self, outputs: FakeBlock, frames: int) -> list[int]:
        return [int(picture[0, 0, 0]) for picture in self.pictures(outputs, frames)]


def recurrent_server(*, hold: bool = False) -> FakeInferenceServer:
    return FakeInferenceServer([REMEMBERS], hold=hold)


def test_pictures_go_out_together_when_nothing_is_remembered() -> None:
    server = FakeInferenceServer([fake_contract("x2")], hold=True)
    film = Film(server, fake_contract("x2"))
    futures = [film.submit([level])[0] for level in (1, 2, 3)]
    assert len(server.pending) == 3
    for request in reversed(list(server.pending)):
        request.finish()
    assert [future.result(WITHIN) for future in futures] == [b""] * 3


def test_a_batch_that_needs_the_one_before_goes_out_when_that_has_ended() -> None:
    server = recurrent_server(hold=True)
    film = Film(server, REMEMBERS)
    batches = [film.submit([1, 1]), film.submit([10, 10]), film.submit([100])]
    assert len(server.pending) == 1
    while server.pending:
        assert len(server.pending) == 1
        server.pending[0].finish()
    assert [film.levels(outputs, 1) for _, outputs in batches] == [[1], [12], [122]]
    assert all(future.done() for future, _ in batches)


def test_a_film_continued_from_a_kept_state_is_the_film_in_one_go() -> None:
    whole = Film(recurrent_server(), REMEMBERS)
    whole.submit([3, 4])
    expected = whole.levels(whole.submit([5, 6])[1], 2)

    first = Film(recurrent_server(), REMEMBERS)
    kept = first.submit([3, 4], keep_state=True)[0].result(WITHIN)
    second = Film(recurrent_server(), REMEMBERS)
    second.step.restore(kept)
    assert second.levels(second.submit([5, 6])[1], 2) == expected == [12, 18]


def test_a_state_is_kept_only_where_it_was_asked_for() -> None:
    film = Film(recurrent_server(), REMEMBERS)
    assert film.submit([1])[0].result(WITHIN) == b""
    assert film.submit([1], keep_state=True)[0].result(WITHIN).startswith(b"framewire-state-1 ")
    plain = Film(FakeInferenceServer([fake_contract("x2")]), fake_contract("x2"))
    assert plain.submit([1], keep_state=True)[0].result(WITHIN) == b""


def test_the_empty_state_is_the_start_of_a_film() -> None:
    for server, contract in ((recurrent_server(), REMEMBERS), (FakeInferenceServer(), fake_contract())):
        film = Film(server, contract)
        film.step.restore(b"")
        assert film.levels(film.submit([7])[1], 1) == [7]


@pytest.mark.parametrize(
    "other",
    [
        replace(REMEMBERS, name="another"),
        replace(REMEMBERS, version="2"),
        fake_contract(REMEMBERS.name),
    ],
    ids=["another model", "another version", "a model that remembers nothing"],
)
def test_a_state_of_something_else_is_refused(other: ModelContract) -> None:
    kept = Film(recurrent_server(), REMEMBERS).submit([1], keep_state=True)[0].result(WITHIN)
    with pytest.raises(StepError, match="not a state of model"):
        ModelStep(FakeInferenceServer([other]), other).restore(kept)


@pytest.mark.parametrize("kept", [b"noise", b"framewire-state-1 {}\n", b"framewire-state-1 [\n", b"\n\n"])
def test_what_is_no_state_at_all_is_refused(kept: bytes) -> None:
    with pytest.raises(StepError):
        ModelStep(recurrent_server(), REMEMBERS).restore(kept)


def test_a_state_of_other_frames_or_cut_short_is_refused_with_the_first_batch() -> None:
    kept = Film(recurrent_server(), REMEMBERS).submit([1], keep_state=True)[0].result(WITHIN)
    for size, state in ((FrameSize(height=12, width=24), kept), (SIZE, kept[:-1])):
        film = Film(recurrent_server(), REMEMBERS, size)
        film.step.restore(state)
        with pytest.raises(StepError, match="another size"):
            film.submit([1])


def test_after_a_failure_what_follows_fails_alike_and_nothing_more_is_sent() -> None:
    server = recurrent_server(hold=True)
    film = Film(server, REMEMBERS)
    futures = [film.submit([level])[0] for level in (1, 2, 3)]
    server.pending[0].fail(Unavailable("gone", code=ErrorCode.INFERENCE_UNAVAILABLE))
    futures.append(film.submit([4])[0])
    assert {type(future.exception(WITHIN)) for future in futures} == {Unavailable}
    assert server.requests == 1


LARGE = FrameSize(height=48, width=70)


def random_frames(size: FrameSize, count: int = 3) -> NDArray[np.uint8]:
    return np.random.default_rng(5).integers(0, 256, (count, size.height, size.width, 3), dtype=np.uint8)


@pytest.mark.parametrize("contract", [fake_contract("x2"), replace(REMEMBERS, scale=2)], ids=["plain", "recurrent"])
def test_tiles_make_the_picture_the_whole_would_have_made(contract: ModelContract) -> None:
    frames = random_frames(LARGE)
    small = replace(contract, max_pixels=400, overlap=3)
    films = [Film(FakeInferenceServer([each]), each, LARGE) for each in (contract, small)]
    for _ in range(2):
        whole, tiled = (film.submit_frames(frames) for film in films)
        assert tiled[0].result(WITHIN) == b""
        assert np.array_equal(films[0].pictures(whole[1], 3), films[1].pictures(tiled[1], 3))


def test_what_tiles_remember_can_be_kept_and_restored() -> None:
    small = replace(REMEMBERS, max_pixels=400, overlap=3)
    frames = random_frames(LARGE)
    first = Film(FakeInferenceServer([small]), small, LARGE)
    kept = first.submit_frames(frames, keep_state=True)[0].result(WITHIN)
    expected = first.submit_frames(frames)
    expected[0].result(WITHIN)
    second = Film(FakeInferenceServer([small]), small, LARGE)
    second.step.restore(kept)
    again = second.submit_frames(frames)
    again[0].result(WITHIN)
    assert np.array_equal(first.pictures(expected[1], 3), second.pictures(again[1], 3))
    untiled = Film(recurrent_server(), REMEMBERS, LARGE)
    untiled.step.restore(kept)
    with pytest.raises(StepError, match="another size"):
        untiled.submit_frames(frames)


def test_a_tile_that_fails_fails_its_batch_and_those_after_it() -> None:
    small = replace(fake_contract("x2"), max_pixels=400)
    server = FakeInferenceServer([small])
    film = Film(server, small, LARGE)
    server.fail_next(WorkerError("refused", code=ErrorCode.INFERENCE_FAILED))
    futures = [film.submit_frames(random_frames(LARGE))[0] for _ in range(2)]
    assert {type(future.exception(WITHIN)) for future in futures} == {WorkerError}


def test_a_model_that_says_what_a_pixel_costs_is_tiled_by_it() -> None:
    greedy = replace(fake_contract("x2"), bytes_per_pixel=(1 << 30) // 1000)
    server = FakeInferenceServer([greedy])
    Film(server, greedy, LARGE).submit_frames(random_frames(LARGE))[0].result(WITHIN)
    assert server.requests == len(plan_tiles(greedy, LARGE, 1000).tiles) > 1


def test_tiles_too_small_for_their_overlap_are_refused() -> None:
    tiny = replace(fake_contract("x2"), max_pixels=400, overlap=10)
    with pytest.raises(StepError, match="too few for tiles") as caught:
        Film(FakeInferenceServer([tiny]), tiny, LARGE).submit_frames(random_frames(LARGE))
    assert caught.value.code == ErrorCode.MODEL_TOO_LARGE
