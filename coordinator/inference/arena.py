"""Blocks of memory that frames are written into once and read from by everybody else."""

from __future__ import annotations

import math
import mmap
import threading
from collections import deque
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from framewire.errors import ErrorCode, Unavailable

_ALIGNMENT = mmap.PAGESIZE


class MemoryBlock:
    """Memory for one batch: `size` bytes at `offset` of the region called `region`, "" for memory nobody shares."""

    def __init__(self, memory: NDArray[np.uint8], region: str, offset: int, give_back: Callable[[MemoryBlock], None]):
        self.region = region
        self.offset = offset
        self.size = memory.size
        self._memory = memory
        self._give_back = give_back
        self._retired = False

    def array(self, shape: tuple[int, ...]) -> NDArray[np.uint8]:
        """The first bytes as a writable array. Raises ValueError when the block is too small."""
        wanted = math.prod(shape)
        if wanted > self.size:
            raise ValueError(f"{shape} needs {wanted} bytes, the block has {self.size}")
        return self._memory[:wanted].reshape(shape)

    def release(self) -> None:
        """Give it back; nothing when it was given back already."""
        if not self._retired:
            self._give_back(self)

    def retire(self) -> None:
        """Never lend it again: the server may still write into it for a request that was given up."""
        self._retired = True


class BlockArena:
    """Lends blocks out, each to one at a time."""

    def __init__(
        self, memory: NDArray[np.uint8], *, block_bytes: int, blocks: int, region: str, on_close: Callable[[], None]
    ) -> None:
        self._state = threading.Condition()
        self._on_close = on_close
        self._closed = False
        stride = stride_of(block_bytes)
        self._free = deque(
            MemoryBlock(memory[start : start + block_bytes], region, start, self._take_back)
            for start in range(0, blocks * stride, stride)
        )

    def acquire(self, *, timeout: float) -> MemoryBlock:
        """A free block, waiting up to `timeout` seconds. Raises Unavailable (INFERENCE_UNAVAILABLE) when none comes."""
        with self._state:
            self._state.wait_for(lambda: self._free or self._closed, timeout)
            if self._closed or not self._free:
                why = "the arena is closed" if self._closed else f"no block came free within {timeout:g} s"
                raise Unavailable(why, code=ErrorCode.INFERENCE_UNAVAILABLE)
            return self._free.popleft()

    def close(self) -> None:
        """Give the memory back, on the server too. Idempotent; wakes who waits for a block."""
        with self._state:
            already, self._closed = self._closed, True
            self._free.clear()
            self._state.notify_all()
        if not already:
            self._on_close()

    def _take_back(self, block: MemoryBlock) -> None:
        with self._state:
            if not self._closed and block not in self._free:
                self._free.append(block)
                self._state.notify()


def stride_of(block_bytes: int) -> int:
    """Bytes from one block to the next: blocks begin where pages begin."""
    return -(-block_bytes // _ALIGNMENT) * _ALIGNMENT
