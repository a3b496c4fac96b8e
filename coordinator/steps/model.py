"""A step that is one model: every frame goes through it."""

from __future__ import annotations

from concurrent.futures import Future
from typing import Protocol

from coordinator.inference.interface import Block, InferenceServer
from coordinator.steps.chain import Chain
from coordinator.steps.interface import FrameSize
from coordinator.steps.state import StateKind, StepState, check_model
from coordinator.steps.tiled import TiledPictures
from coordinator.steps.tiles import most_pixels, plan_tiles
from framewire.errors import StepError
from framewire.steps.contract import ModelContract


class Way(Protocol):
    """How batches of one size get through a model."""

    def start(self, inputs: Block, outputs: Block, *, frames: int, keep_state: bool) -> Future[bytes]:
        """See FrameStep.submit."""


class ModelStep:
    """Sends frames through one model, in tiles where they are too large for it. See FrameStep."""

    def __init__(self, server: InferenceServer, contract: ModelContract) -> None:
        self._server = server
        self._contract = contract
        self._kept = b""
        self._way: tuple[FrameSize, Way] | None = None

    @property
    def scale(self) -> int:
        """The model's."""
        return self._contract.scale

    @property
    def size_multiple(self) -> int:
        """The model's."""
        return max(1, self._contract.size_multiple)

    @property
    def max_batch(self) -> int:
        """The model's."""
        return max(1, self._contract.max_batch)

    def submit(
        self, inputs: Block, outputs: Block, *, frames: int, size: FrameSize, keep_state: bool = False
    ) -> Future[bytes]:
        """Batches of one size. Raises StepError for a size no tiles fit, or that the restored state does not fit."""
        if self._way is None:
            self._way = (size, self._find_way(size))
        known, way = self._way
        if size != known:
            raise StepError(f"frames of {size.width}x{size.height} after frames of {known.width}x{known.height}")
        return way.start(inputs, outputs, frames=frames, keep_state=keep_state)

    def restore(self, state: bytes) -> None:
        """Of this model, of any size of frames; the first `submit` raises StepError when it is of another."""
        if state:
            check_model(self._contract, state)
        self._kept = state

    def _find_way(self, size: FrameSize) -> Way:
        limit = most_pixels(self._contract)
        if limit and size.height * size.width > limit:
            tiling = plan_tiles(self._contract, size, limit)
            return TiledPictures(self._server, self._contract, tiling, self._state(tiling.tile, len(tiling.tiles)))
        state = self._state(size, 1)
        if state is None:
            return WholePictures(self._server, self._contract, size)
        return RememberingPictures(self._server, self._contract, size, state)

    def _state(self, size: FrameSize, parts: int) -> StepState | None:
        if not self._contract.remembers:
            return None
        kept, self._kept = self._kept, b""
        return StepState(self._server, StateKind(contract=self._contract, size=size, parts=parts), kept)


class WholePictures:
    """A request a batch, as many at once as are asked for."""

    def __init__(self, server: InferenceServer, contract: ModelContract, size: FrameSize) -> None:
        self._server = server
        self._contract = contract
        self._size = size

    def start(self, inputs: Block, outputs: Block, *, frames: int, keep_state: bool) -> Future[bytes]:
        """There is no state to keep."""
        del keep_state
        result: Future[bytes] = Future()
        height, width = self._size.height, self._size.width
        request = self._server.infer(self._contract, inputs, outputs, frames=frames, height=height, width=width)
        request.add_done_callback(lambda done: _pass_on(done, result))
        return result


class RememberingPictures:
    """A request a batch, each when the one before has ended: it takes what that one remembers."""

    def __init__(self, server: InferenceServer, contract: ModelContract, size: FrameSize, state: StepState) -> None:
        self._server = server
        self._contract = contract
        self._size = size
        self._state = state
        self._chain = Chain()

    def start(self, inputs: Block, outputs: Block, *, frames: int, keep_state: bool) -> Future[bytes]:
        """In the order of the calls."""
        height, width = self._size.height, self._size.width

        def begin() -> Future[None]:
            state = self._state.blocks(0)
            return self._server.infer(
                self._contract, inputs, outputs, frames=frames, height=height, width=width, state=state
            )

        def finish() -> bytes:
            self._state.advance()
            return self._state.keep() if keep_state else b""

        return self._chain.add(begin, finish)


def _pass_on(done: Future[None], result: Future[bytes]) -> None:
    error = done.exception()
    if error is not None:
        result.set_exception(error)
    else:
        result.set_result(b"")
