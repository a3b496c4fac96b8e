"""`inpaint`: boxes of every frame filled by the model the step names, from what lies around them."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np
from numpy.typing import NDArray

from coordinator.inference.interface import Block, InferenceServer
from coordinator.steps.crops import Crop, plan_crops
from coordinator.steps.in_turn import InTurn
from coordinator.steps.interface import FrameSize
from coordinator.steps.usable import usable
from framewire.errors import ErrorCode, StepError, Unavailable
from framewire.steps.contract import ModelContract
from framewire.steps.inpaint import NEEDED, Box, read_boxes
from framewire.v1.step_pb2 import Inpaint

_AT_ONCE: Final = 2
"""Crops under way: one is computed while the next is cut and the last one pasted."""
_BLOCK_SECONDS: Final = 10.0
_CROP_SECONDS: Final = 120.0
_MASKED: Final = 255


def prepare(parameters: Inpaint, server: InferenceServer) -> list[InpaintStep]:
    """The step for these parameters. Raises StepError: MODEL_UNKNOWN, or STEP_INVALID when the model takes no mask."""
    if not parameters.model:
        raise StepError(NEEDED["model"])
    return [InpaintStep(server, usable("inpaint", server.contract(parameters.model)), read_boxes(parameters.boxes))]


class InpaintStep:
    """Fills boxes; every pixel outside of them stays as it is, bit for bit. See FrameStep."""

    def __init__(self, server: InferenceServer, contract: ModelContract, boxes: Sequence[Box]) -> None:
        self._server = server
        self._contract = contract
        self._boxes = boxes
        self._filling: Filling | None = None

    @property
    def scale(self) -> int:
        """1: the size stays."""
        return 1

    @property
    def size_multiple(self) -> int:
        """1: what the model is shown is cut out as it takes it."""
        return 1

    @property
    def max_batch(self) -> int:
        """The model's."""
        return max(1, self._contract.max_batch)

    def submit(
        self, inputs: Block, outputs: Block, *, frames: int, size: FrameSize, keep_state: bool = False
    ) -> Future[bytes]:
        """Batches of one size. Raises StepError for boxes that do not fit frames of this size. There is no state."""
        del keep_state
        if self._filling is None:
            crops = plan_crops(self._contract, self._boxes, size)
            self._filling = Filling(self._server, self._contract, crops, size)
        return self._filling.start(inputs, outputs, frames=frames)

    def restore(self, state: bytes) -> None:
        """Nothing is remembered: raises StepError for anything but b""."""
        if state:
            raise StepError("inpaint remembers nothing from frame to frame")


@dataclass(frozen=True, slots=True)
class _Blocks:
    """What one request reads and writes."""

    shown: Block
    mask: Block
    made: Block


class Filling:
    """Batches of frames of one size, crop by crop through a few blocks of memory, which are the server's to close."""

    def __init__(
        self, server: InferenceServer, contract: ModelContract, crops: Sequence[Crop], size: FrameSize
    ) -> None:
        self._server = server
        self._contract = contract
        self._crops = crops
        self._size = size
        at_once = min(_AT_ONCE, len(crops))
        block_bytes = contract.max_batch * max(crop.given.bytes for crop in crops)
        arena = server.open_arena(block_bytes=block_bytes, blocks=3 * at_once)
        self._free = deque(_Blocks(*(arena.acquire(timeout=_BLOCK_SECONDS) for _ in range(3))) for _ in range(at_once))
        self._turns = InTurn(f"crops for {contract.name}")

    def start(self, inputs: Block, outputs: Block, *, frames: int) -> Future[bytes]:
        """In the order of the calls."""
        shape = (frames, self._size.height, self._size.width, 3)
        return self._turns.add(partial(self._fill, inputs.array(shape), outputs.array(shape)))

    def _fill(self, source: NDArray[np.uint8], target: NDArray[np.uint8]) -> bytes:
        target[...] = source
        under_way: deque[tuple[Crop, _Blocks, Future[None]]] = deque()
        for crop in self._crops:
            if not self._free:
                self._paste(*under_way.popleft(), target)
            under_way.append(self._begin(crop, source))
        while under_way:
            self._paste(*under_way.popleft(), target)
        return b""

    def _begin(self, crop: Crop, source: NDArray[np.uint8]) -> tuple[Crop, _Blocks, Future[None]]:
        blocks, frames = self._free.popleft(), len(source)
        high, wide = crop.given.height, crop.given.width
        _show(source[:, *_slices(crop.area)], blocks.shown.array((frames, high, wide, 3)))
        self._mask(crop, blocks.mask.array((frames, high, wide, 1)))
        request = self._server.infer(
            self._contract, blocks.shown, blocks.made, frames=frames, height=high, width=wide, mask=blocks.mask
        )
        return crop, blocks, request

    def _mask(self, crop: Crop, mask: NDArray[np.uint8]) -> None:
        """All boxes, not its own alone: what is in another one is no example of what belongs here."""
        mask[...] = 0
        for each in self._crops:
            if not (part := each.box.within(crop.area)).empty:
                mask[:, *_slices(part, crop.area)] = _MASKED

    def _paste(self, crop: Crop, blocks: _Blocks, request: Future[None], target: NDArray[np.uint8]) -> None:
        try:
            request.result(_CROP_SECONDS)
        except TimeoutError:
            message = f"the model server did not answer within {_CROP_SECONDS:.0f} s"
            raise Unavailable(message, code=ErrorCode.INFERENCE_UNAVAILABLE) from None
        made = blocks.made.array((len(target), crop.given.height, crop.given.width, 3))
        target[:, *_slices(crop.box)] = made[:, *_slices(crop.box, crop.area)]
        self._free.append(blocks)


def _show(area: NDArray[np.uint8], shown: NDArray[np.uint8]) -> None:
    """Copy it; where `shown` is larger, the last row and column go on."""
    _, high, wide, _ = area.shape
    shown[:, :high, :wide] = area
    shown[:, high:, :wide] = area[:, -1:]
    shown[:, :, wide:] = shown[:, :, wide - 1 : wide]


def _slices(box: Box, within: Box | None = None) -> tuple[slice, slice]:
    """Rows and columns of a frame, or of the part `within` of it."""
    top, left = (within.top, within.left) if within else (0, 0)
    return slice(box.top - top, box.bottom - top), slice(box.left - left, box.right - left)
