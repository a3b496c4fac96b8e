"""What tests of other parts rely on in the fake."""

from __future__ import annotations

import pytest

from framewire.errors import Unavailable
from framewire.testing.inference import FakeInferenceServer


def submit(server: FakeInferenceServer, level: int):
    arena = server.open_arena(block_bytes=64, blocks=2)
    inputs, outputs = arena.acquire(timeout=1), arena.acquire(timeout=1)
    inputs.array((1, 1, 1, 3))[...] = level
    return server.infer(server.models()[0], inputs, outputs, frames=1, height=1, width=1), outputs


def test_held_requests_end_when_and_in_the_order_the_test_says() -> None:
    server = FakeInferenceServer(hold=True)
    (first, _), (second, outputs) = submit(server, 1), submit(server, 2)
    server.pending[1].finish()
    assert (first.done(), second.done()) == (False, True)
    assert outputs.array((1, 2, 2, 3)).tolist() == [[[[2] * 3] * 2] * 2]
    server.pending[0].fail(RuntimeError("broken"))
    assert isinstance(first.exception(0), RuntimeError)
    assert server.pending == []


def test_failures_hit_the_next_requests_only() -> None:
    server = FakeInferenceServer()
    server.fail_next(Unavailable("gone"))
    assert isinstance(submit(server, 1)[0].exception(0), Unavailable)
    assert submit(server, 1)[0].exception(0) is None


def test_an_unreachable_server_answers_nothing() -> None:
    server = FakeInferenceServer()
    server.reachable = False
    with pytest.raises(Unavailable):
        server.models()


def test_closing_ends_what_is_pending() -> None:
    server = FakeInferenceServer(hold=True)
    pending, _ = submit(server, 1)
    server.close()
    assert isinstance(pending.exception(0), Unavailable)


def test_an_arena_says_how_many_blocks_are_lent() -> None:
    arena = FakeInferenceServer().open_arena(block_bytes=1, blocks=2)
    block = arena.acquire(timeout=1)
    assert arena.lent == 1
    block.release()
    assert arena.lent == 0
