"""`denoise`: every frame cleaner, by the model the step names."""

from __future__ import annotations

from coordinator.inference.interface import InferenceServer
from coordinator.steps.model import ModelStep
from coordinator.steps.usable import usable
from framewire.steps.contract import default_model
from framewire.v1.step_pb2 import Denoise


def prepare(parameters: Denoise, server: InferenceServer) -> list[ModelStep]:
    """The step for these parameters. Raises StepError: MODEL_UNKNOWN, or STEP_INVALID when it scales or fills."""
    contract = usable("denoise", server.contract(parameters.model or default_model("denoise")))
    return [ModelStep(server, contract)]
