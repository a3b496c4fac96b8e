"""`denoise`: every frame cleaner, by the model the step names."""

from __future__ import annotations

from coordinator.inference.interface import InferenceServer
from coordinator.steps.model import ModelStep
from framewire.errors import StepError
from framewire.steps.contract import default_model
from framewire.v1.step_pb2 import Denoise


def prepare(parameters: Denoise, server: InferenceServer) -> list[ModelStep]:
    """The step for these parameters. Raises StepError: MODEL_UNKNOWN, or STEP_INVALID when the model scales."""
    contract = server.contract(parameters.model or default_model("denoise"))
    if contract.scale != 1:
        raise StepError(f"model {contract.name} makes frames {contract.scale} times larger; use it with `enhance`")
    return [ModelStep(server, contract)]
