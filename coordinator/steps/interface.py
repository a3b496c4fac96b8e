"""What a step is to the pipeline that runs it."""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import dataclass
from typing import Protocol

from coordinator.inference.interface import Block


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameSize:
    """Height and width of a frame in pixels."""

    height: int
    width: int

    @property
    def bytes(self) -> int:
        """Bytes of one such frame in RGB."""
        return self.height * self.width * 3

    def times(self, scale: int) -> FrameSize:
        """The size after scaling."""
        return FrameSize(height=self.height * scale, width=self.width * scale)


class FrameStep(Protocol):
    """One prepared step: it knows its model and parameters, and what a recurrent model remembers of past frames.

    Frames are uint8 RGB, `[frames, height, width, 3]`, at the start of a block.
    """

    @property
    def scale(self) -> int:
        """Output size / input size, per side."""

    @property
    def size_multiple(self) -> int:
        """Height and width it is given are multiples of this; neutral value: 1."""

    @property
    def max_batch(self) -> int:
        """Most frames it takes at once; at least 1."""

    def submit(
        self, inputs: Block, outputs: Block, *, frames: int, size: FrameSize, keep_state: bool = False
    ) -> Future[bytes]:
        """Start on a batch of frames of `size`; when the future is done, `outputs` holds them at `size.times(scale)`.

        Batches are submitted in the order of the film; a step that remembers (a recurrent model) sees them in that
        order, however many are under way. Both blocks stay as they are until the future is done. Its result is
        what the step remembers after this batch, for `restore`, if `keep_state` is set and it remembers anything,
        else b"". It raises WorkerError (INFERENCE_FAILED) or Unavailable (INFERENCE_UNAVAILABLE).
        """

    def restore(self, state: bytes) -> None:
        """Go on as if the batch after which `state` was kept had just been done. Call before the first `submit`.

        b"" means: from the start of the film. Raises StepError for a state that is not this step's.
        """
