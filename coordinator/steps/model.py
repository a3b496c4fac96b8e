"""A step that is one model: every frame goes through it."""

from __future__ import annotations

from concurrent.futures import Future

from coordinator.inference.interface import Block, InferenceServer
from coordinator.steps.interface import FrameSize
from framewire.errors import StepError
from framewire.steps.contract import ModelContract


class ModelStep:
    """Sends frames through one model. See FrameStep."""

    def __init__(self, server: InferenceServer, contract: ModelContract) -> None:
        self._server = server
        self._contract = contract

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
        """One request to the model."""
        del keep_state  # it remembers nothing
        result: Future[bytes] = Future()
        request = self._server.infer(
            self._contract, inputs, outputs, frames=frames, height=size.height, width=size.width
        )
        request.add_done_callback(lambda done: _pass_on(done, result))
        return result

    def restore(self, state: bytes) -> None:
        """Only the empty state is this step's."""
        if state:
            raise StepError(f"model {self._contract.name} remembers nothing, but a state was kept for it")


def _pass_on(done: Future[None], result: Future[bytes]) -> None:
    error = done.exception()
    if error is not None:
        result.set_exception(error)
    else:
        result.set_result(b"")
