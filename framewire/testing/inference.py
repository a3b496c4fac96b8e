"""An inference server without a server: nearest neighbour by numpy, and failures on demand.

A model that remembers adds up all frames it has seen, modulo 256: `fake_recurrent_contract`. One that takes a mask
inverts what is masked: `fake_mask_contract`.

server = FakeInferenceServer(hold=True)          # requests wait until the test says so
server.fail_next(Unavailable("gone"))            # the next one fails
server.pending[1].finish()                       # the second comes back before the first
"""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from framewire.errors import ErrorCode, StepError, Unavailable
from framewire.steps.contract import DEFAULT_ENHANCE_MODEL, ModelContract, StateTensor, parse_shape


def fake_contract(name: str = DEFAULT_ENHANCE_MODEL, *, scale: int = 2, max_batch: int = 8) -> ModelContract:
    """The contract of a model that repeats pixels."""
    return ModelContract(
        name=name,
        version="1",
        input="FRAMES_IN",
        output="FRAMES_OUT",
        scale=scale,
        size_multiple=1,
        max_batch=max_batch,
        overlap=0,
        license="Apache-2.0",
        description=f"Repeats every pixel {scale} times each way.",
    )


def fake_recurrent_contract(name: str = "running_sum", *, scale: int = 1, max_batch: int = 8) -> ModelContract:
    """The contract of a model whose frames are the sums of all frames so far, modulo 256, its pixels repeated."""
    total = StateTensor(input="STATE_IN", output="STATE_OUT", datatype="FP32", extents=parse_shape("height,width,3"))
    return replace(fake_contract(name, scale=scale, max_batch=max_batch), state=(total,))


def fake_mask_contract(name: str = "invert_masked", *, size_multiple: int = 1, max_batch: int = 8) -> ModelContract:
    """The contract of a model that inverts the pixels that are masked, and no others."""
    plain = fake_contract(name, scale=1, max_batch=max_batch)
    return replace(plain, mask="MASK_IN", size_multiple=size_multiple, overlap=None)


class FakeBlock:
    """Memory for one batch."""

    def __init__(self, size: int, give_back: Callable[[FakeBlock], None]) -> None:
        self._memory = np.zeros(size, np.uint8)
        self._give_back = give_back

    def array(self, shape: tuple[int, ...]) -> NDArray[np.uint8]:
        """The first bytes as a writable array. Raises ValueError when the block is too small."""
        wanted = math.prod(shape)
        if wanted > self._memory.size:
            raise ValueError(f"{shape} needs {wanted} bytes, the block has {self._memory.size}")
        return self._memory[:wanted].reshape(shape)

    def release(self) -> None:
        """Give it back; nothing when it was given back already."""
        self._give_back(self)


class FakeArena:
    """Lends blocks out. `lent` counts those that have not come back."""

    def __init__(self, *, block_bytes: int, blocks: int) -> None:
        self._state = threading.Condition()
        self._free = deque(FakeBlock(block_bytes, self._take_back) for _ in range(blocks))
        self._blocks = blocks
        self.closed = False

    @property
    def lent(self) -> int:
        """Blocks somebody has."""
        with self._state:
            return self._blocks - len(self._free)

    def acquire(self, *, timeout: float) -> FakeBlock:
        """A free block. Raises Unavailable (INFERENCE_UNAVAILABLE) when none comes within `timeout` seconds."""
        with self._state:
            self._state.wait_for(lambda: self._free or self.closed, timeout)
            if self.closed or not self._free:
                raise Unavailable("no block came free", code=ErrorCode.INFERENCE_UNAVAILABLE)
            return self._free.popleft()

    def close(self) -> None:
        """Wakes who waits for a block. Idempotent."""
        with self._state:
            self.closed = True
            self._state.notify_all()

    def _take_back(self, block: FakeBlock) -> None:
        with self._state:
            if block not in self._free:
                self._free.append(block)
                self._state.notify()


@dataclass(eq=False)
class PendingRequest:
    """A request that waits for the test to end it."""

    contract: ModelContract
    inputs: NDArray[np.uint8]
    outputs: NDArray[np.uint8]
    state: tuple[NDArray[np.float32], NDArray[np.float32]] | None = None
    """What a recurrent model remembers, and where to put what it shall remember."""
    mask: NDArray[np.uint8] | None = None
    result: Future[None] = field(default_factory=Future)

    def finish(self) -> None:
        """Compute the result; nothing when it has ended already."""
        if not self.result.done():
            frames = self.inputs if self.state is None else self._sums(*self.state)
            if self.mask is not None:
                frames = np.where(self.mask > 127, 255 - frames, frames)
            self.outputs[...] = frames.repeat(self.contract.scale, axis=1).repeat(self.contract.scale, axis=2)
            self.result.set_result(None)

    def _sums(self, before: NDArray[np.float32], after: NDArray[np.float32]) -> NDArray[np.uint8]:
        sums = (self.inputs.astype(np.float32).cumsum(axis=0) + before) % 256
        after[...] = sums[-1]
        return sums.astype(np.uint8)

    def fail(self, error: Exception) -> None:
        """End it with an error; nothing when it has ended already."""
        if not self.result.done():
            self.result.set_exception(error)


class FakeInferenceServer:
    """Satisfies coordinator.inference.interface.InferenceServer.

    `hold`: requests stay in `pending` until the test finishes or fails them, in any order.
    """

    def __init__(self, models: Sequence[ModelContract] | None = None, *, hold: bool = False) -> None:
        contracts = [fake_contract()] if models is None else models
        self._models = {contract.name: contract for contract in contracts}
        self._hold = hold
        self._errors: deque[Exception] = deque()
        self.pending: list[PendingRequest] = []
        """Requests that have not ended, in the order they came."""
        self.requests = 0
        """Requests there were."""
        self.arenas: list[FakeArena] = []
        """Arenas there were, closed ones included."""
        self.reachable = True
        """False: every call raises Unavailable, as if the server were gone."""
        self.closed = False

    def fail_next(self, error: Exception) -> None:
        """The next request fails; called twice, the next two."""
        self._errors.append(error)

    def models(self) -> list[ModelContract]:
        """All contracts."""
        self._answer()
        return list(self._models.values())

    def contract(self, model: str) -> ModelContract:
        """One contract. Raises StepError (MODEL_UNKNOWN)."""
        self._answer()
        if model not in self._models:
            raise StepError(f"no model {model} is served", code=ErrorCode.MODEL_UNKNOWN)
        return self._models[model]

    def open_arena(self, *, block_bytes: int, blocks: int) -> FakeArena:
        """Plain memory."""
        self._answer()
        arena = FakeArena(block_bytes=block_bytes, blocks=blocks)
        self.arenas.append(arena)
        return arena

    def infer(
        self,
        contract: ModelContract,
        inputs: FakeBlock,
        outputs: FakeBlock,
        *,
        frames: int,
        height: int,
        width: int,
        state: tuple[FakeBlock, FakeBlock] | None = None,
        mask: FakeBlock | None = None,
    ) -> Future[None]:
        """Repeat pixels: at once, or when the test says so."""
        _check(contract, frames, height, width, remembers=state is not None)
        if bool(contract.mask) != (mask is not None):
            raise ValueError(f"{contract.name} takes a mask" if contract.mask else "no mask")
        larger = (frames, height * contract.scale, width * contract.scale, 3)
        before, after = (_floats(block, (height, width, 3)) for block in state) if state else (None, None)
        request = PendingRequest(
            contract,
            inputs.array((frames, height, width, 3)),
            outputs.array(larger),
            None if before is None or after is None else (before, after),
            mask.array((frames, height, width, 1)) if mask else None,
        )
        self.requests += 1
        self.pending.append(request)
        request.result.add_done_callback(lambda _done: self.pending.remove(request))
        if self._errors:
            request.fail(self._errors.popleft())
        elif self.closed or not self.reachable:
            request.fail(_gone())
        elif contract.name not in self._models:
            request.fail(StepError(f"no model {contract.name} is served", code=ErrorCode.MODEL_UNKNOWN))
        elif not self._hold:
            request.finish()
        return request.result

    def sweep_dead_regions(self) -> int:
        """Nothing to sweep."""
        return 0

    def close(self) -> None:
        """Ends what is pending with Unavailable. Idempotent."""
        self.closed = True
        for request in list(self.pending):
            request.fail(_gone())
        for arena in self.arenas:
            arena.close()

    def _answer(self) -> None:
        if self.closed or not self.reachable:
            raise _gone()


def _check(contract: ModelContract, frames: int, height: int, width: int, *, remembers: bool) -> None:
    if not 1 <= frames <= contract.max_batch or height % contract.size_multiple or width % contract.size_multiple:
        raise ValueError(f"{contract.name} does not take {frames} frames of {width}x{height}")
    if 0 < contract.max_pixels < height * width:
        raise ValueError(f"{contract.name} takes {contract.max_pixels} pixels at most")
    if contract.remembers != remembers:
        raise ValueError(f"{contract.name} remembers, give it state" if contract.remembers else "no state")


def _floats(block: FakeBlock, shape: tuple[int, ...]) -> NDArray[np.float32]:
    return block.array((math.prod(shape) * 4,)).view(np.float32).reshape(shape)


def _gone() -> Unavailable:
    return Unavailable("the model server does not answer", code=ErrorCode.INFERENCE_UNAVAILABLE)
