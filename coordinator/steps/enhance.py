"""`enhance`: every frame larger, by the model the step names, applied as often as the scale asks for."""

from __future__ import annotations

from coordinator.inference.interface import InferenceServer
from coordinator.steps.model import ModelStep
from coordinator.steps.usable import usable
from framewire.errors import StepError
from framewire.steps.contract import default_model, rounds
from framewire.v1.step_pb2 import Enhance


def prepare(parameters: Enhance, server: InferenceServer) -> list[ModelStep]:
    """The step for these parameters; a model of scale 2 twice in a row where a scale of 4 is asked for.

    Raises StepError: MODEL_UNKNOWN, or STEP_INVALID when the model fills, or never gets to the scale that was
    asked for.
    """
    contract = usable("enhance", server.contract(parameters.model or default_model("enhance", parameters.scale)))
    count = rounds(contract.scale, parameters.scale) if parameters.HasField("scale") else 1
    if not count:
        raise StepError(
            f"model {contract.name} makes frames {contract.scale} times larger, not {parameters.scale}; "
            f"ask for scale={contract.scale} or name another model"
        )
    return [ModelStep(server, contract) for _ in range(count)]
