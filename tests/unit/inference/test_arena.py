"""Blocks of an arena."""

from __future__ import annotations

import mmap

import numpy as np
import pytest

from coordinator.inference.arena import BlockArena, stride_of
from framewire.errors import Unavailable


def open_arena(block_bytes: int, blocks: int) -> BlockArena:
    memory = np.zeros(stride_of(block_bytes) * blocks, np.uint8)
    return BlockArena(memory, block_bytes=block_bytes, blocks=blocks, region="r", on_close=lambda: None)


def test_blocks_begin_on_pages_and_end_where_they_were_asked_to() -> None:
    arena = open_arena(mmap.PAGESIZE + 1, 3)
    lent = [arena.acquire(timeout=1) for _ in range(3)]
    assert [block.offset for block in lent] == [0, 2 * mmap.PAGESIZE, 4 * mmap.PAGESIZE]
    with pytest.raises(ValueError, match="bytes"):
        lent[0].array((mmap.PAGESIZE + 2,))


def test_a_retired_block_is_not_lent_again() -> None:
    arena = open_arena(16, 2)
    first, second = arena.acquire(timeout=1), arena.acquire(timeout=1)
    first.retire()
    first.release()
    second.release()
    assert arena.acquire(timeout=1) is second
    with pytest.raises(Unavailable):
        arena.acquire(timeout=0.01)


def test_a_block_that_outlives_its_arena_can_be_given_back() -> None:
    arena = open_arena(16, 1)
    block = arena.acquire(timeout=1)
    arena.close()
    block.release()
    with pytest.raises(Unavailable):
        arena.acquire(timeout=0.01)
