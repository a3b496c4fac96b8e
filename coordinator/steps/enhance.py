"""`enhance`: every frame larger, by the model the step names."""

from __future__ import annotations

from concurrent.futures import Future

from coordinator.inference.interface import Block, InferenceServer
from coordinator.steps.interface import FrameSize
from framewire.errors import StepError
from framewire.steps.contract import DEFAULT_ENHANCE_MODEL, ModelContract
from framewire.v1.step_pb2 import Enhance


class EnhanceStep:
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

    def submit(self, inputs: Block, outputs: Block, *, frames: int, size: FrameSize) -> Future[None]:
        """One request to the model."""
        return self._server.infer(self._contract, inputs, outputs, frames=frames, height=size.height, width=size.width)


def prepare(parameters: Enhance, server: InferenceServer) -> EnhanceStep:
    """The step for these parameters.

    Raises StepError: MODEL_UNKNOWN, or STEP_INVALID when the model scales by something else than was asked for.
    """
    contract = server.contract(parameters.model or DEFAULT_ENHANCE_MODEL)
    if parameters.HasField("scale") and parameters.scale != contract.scale:
        raise StepError(
            f"model {contract.name} makes frames {contract.scale} times larger, not {parameters.scale}; "
            f"ask for scale={contract.scale} or name another model"
        )
    return EnhanceStep(server, contract)
