"""A model server in this process whose models are a few lines of numpy."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from coordinator.inference.interface import Block
from framewire.errors import ErrorCode, StepError, Unavailable
from framewire.steps.contract import ModelContract

Model = Callable[[NDArray[np.uint8]], NDArray[np.uint8]]


class PlainBlock:
    """Ordinary memory."""

    def __init__(self, arena: PlainArena) -> None:
        self._arena = arena
        self._memory = np.full(arena.block_bytes, 0xA5, np.uint8)

    def array(self, shape: tuple[int, ...]) -> NDArray[np.uint8]:
        return self._memory[: int(np.prod(shape))].reshape(shape)

    def release(self) -> None:
        self._arena.free.append(self)


class PlainArena:
    def __init__(self, block_bytes: int, blocks: int) -> None:
        self.block_bytes = block_bytes
        self.free = [PlainBlock(self) for _ in range(blocks)]
        self.closed = False

    def acquire(self, *, timeout: float) -> Block:
        if not self.free:
            raise Unavailable("no free block", code=ErrorCode.INFERENCE_UNAVAILABLE)
        return self.free.pop()

    def close(self) -> None:
        self.closed = True


class PlainServer:
    """InferenceServer over numpy functions. Two workers, so that batches may end out of order."""

    def __init__(self, contracts: list[ModelContract], run: Model | None = None) -> None:
        self._contracts = {contract.name: contract for contract in contracts}
        self._run = run
        self._pool = ThreadPoolExecutor(2)
        self._lock = threading.Lock()
        self.arenas: list[PlainArena] = []
        self.requests: list[tuple[str, int, int, int]] = []
        self.under_way = 0
        self.most_under_way = 0

    def models(self) -> list[ModelContract]:
        return list(self._contracts.values())

    def contract(self, model: str) -> ModelContract:
        if model not in self._contracts:
            raise StepError(f"no model {model} is served", code=ErrorCode.MODEL_UNKNOWN)
        return self._contracts[model]

    def open_arena(self, *, block_bytes: int, blocks: int) -> PlainArena:
        self.arenas.append(PlainArena(block_bytes, blocks))
        return self.arenas[-1]

    def infer(
        self, contract: ModelContract, inputs: Block, outputs: Block, *, frames: int, height: int, width: int
    ) -> Future[None]:
        with self._lock:
            self.requests.append((contract.name, frames, height, width))
            self.under_way += 1
            self.most_under_way = max(self.most_under_way, self.under_way)
        return self._pool.submit(self._infer, contract, inputs, outputs, frames, height, width)

    def close(self) -> None:
        self._pool.shutdown()

    def _infer(
        self, contract: ModelContract, inputs: Block, outputs: Block, frames: int, height: int, width: int
    ) -> None:
        try:
            scale = contract.scale
            given = inputs.array((frames, height, width, 3))
            result = self._run(given) if self._run else nearest(given, scale)
            outputs.array((frames, height * scale, width * scale, 3))[:] = result
        finally:
            with self._lock:
                self.under_way -= 1


def nearest(frames: NDArray[np.uint8], scale: int) -> NDArray[np.uint8]:
    """Every pixel repeated."""
    return frames.repeat(scale, axis=1).repeat(scale, axis=2)


def model(
    name: str = "upscale_bicubic_x2", *, scale: int = 2, size_multiple: int = 1, max_batch: int = 4
) -> ModelContract:
    """A contract with the rest filled in."""
    return ModelContract(
        name=name,
        version="1",
        input="INPUT",
        output="OUTPUT",
        scale=scale,
        size_multiple=size_multiple,
        max_batch=max_batch,
        license="Apache-2.0",
        description="A model for tests.",
    )
