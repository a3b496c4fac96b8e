"""The model server as steps use it: fixed memory for batches, and requests that complete later.

Synchronous on purpose: a runner is one job in one process, its stages are threads, and what it
waits for is bounded by `timeout`s.
"""

from __future__ import annotations

from concurrent.futures import Future
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from framewire.steps.contract import ModelContract


class Block(Protocol):
    """Memory for one batch of frames, lent by an `Arena`."""

    def array(self, shape: tuple[int, ...]) -> NDArray[np.uint8]:
        """The block's first bytes as a writable C-contiguous array; a view, not a copy."""

    def release(self) -> None:
        """Give it back. Views of it must not be used any more."""


class Arena(Protocol):
    """A fixed number of blocks of a fixed size. Waiting for one is the pipeline's back-pressure."""

    def acquire(self, *, timeout: float) -> Block:
        """A free block, waiting up to `timeout` seconds. Raises Unavailable (INFERENCE_UNAVAILABLE) when none comes."""

    def close(self) -> None:
        """Give the memory back, on the server too. Idempotent."""


class InferenceServer(Protocol):
    """Models by name.

    Raises StepError (MODEL_UNKNOWN) for a model that is not served, Unavailable (INFERENCE_UNAVAILABLE)
    when the server does not answer.
    """

    def models(self) -> list[ModelContract]:
        """Contracts of all models that are served now."""

    def contract(self, model: str) -> ModelContract:
        """One model's contract."""

    def open_arena(self, *, block_bytes: int, blocks: int) -> Arena:
        """Memory the server can read and write too, where it runs on this host."""

    def infer(
        self,
        contract: ModelContract,
        inputs: Block,
        outputs: Block,
        *,
        frames: int,
        height: int,
        width: int,
        state: tuple[Block, Block] | None = None,
        mask: Block | None = None,
    ) -> Future[None]:
        """Run `frames` frames of `height` x `width` from the start of `inputs`; results go to the start of `outputs`.

        A recurrent model, and no other, takes `state`: the block with what it remembers, and another one for
        what it shall remember. Both are laid out as `ModelContract.state_places` says; zeros are the start of a film.
        A model that takes a mask, and no other, takes `mask`: `[frames, height, width, 1]`, 255 where it is to fill.
        Several may be in flight; each future ends in order of nothing in particular, with
        WorkerError (INFERENCE_FAILED) or Unavailable when the request failed. Raises ValueError for what does not
        fit the contract or its blocks.
        """

    def close(self) -> None:
        """Disconnect. Idempotent."""
