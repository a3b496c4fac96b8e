"""`enhance`: every frame larger, by the model the step names."""

from __future__ import annotations

from coordinator.inference.interface import InferenceServer
from coordinator.steps.model import ModelStep
from framewire.errors import StepError
from framewire.steps.contract import default_model
from framewire.v1.step_pb2 import Enhance


def prepare(parameters: Enhance, server: InferenceServer) -> ModelStep:
    """The step for these parameters.

    Raises StepError: MODEL_UNKNOWN, or STEP_INVALID when the model scales by something else than was asked for.
    """
    contract = server.contract(parameters.model or default_model("enhance", parameters.scale))
    if parameters.HasField("scale") and parameters.scale != contract.scale:
        raise StepError(
            f"model {contract.name} makes frames {contract.scale} times larger, not {parameters.scale}; "
            f"ask for scale={contract.scale} or name another model"
        )
    return ModelStep(server, contract)
