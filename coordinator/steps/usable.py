"""Which models a step can use: the gateway's rule, asked again where the model is."""

from __future__ import annotations

from framewire.errors import StepError
from framewire.steps.catalogue import misfit
from framewire.steps.contract import ModelContract


def usable(step: str, contract: ModelContract) -> ModelContract:
    """The contract itself. Raises StepError (STEP_INVALID) that says with which step to use such a model."""
    if why := misfit(step, contract.to_proto()):
        raise StepError(f"model {why}")
    return contract
