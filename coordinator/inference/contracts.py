"""A model's contract out of the ModelConfig that Triton sends."""

from __future__ import annotations

from typing import Any

from tritonclient.grpc import model_config_pb2

from framewire.errors import ErrorCode, StepError
from framewire.steps.contract import ModelContract

_FRAMES = [-1, -1, 3]
_UINT8 = model_config_pb2.TYPE_UINT8


def parse_contract(config: Any, version: str) -> ModelContract:
    """The contract of the model of this `inference.ModelConfig`.

    Raises StepError (MODEL_UNKNOWN) that names what is missing: such a model is served, but not for frames.
    """
    parameters = _Parameters(config)
    return ModelContract(
        name=config.name,
        version=version,
        input=_frames_tensor(config, "input"),
        output=_frames_tensor(config, "output"),
        scale=parameters.number("scale"),
        size_multiple=parameters.number("size_multiple"),
        max_batch=max(1, config.max_batch_size),
        license=parameters.text("license"),
        description=parameters.text("description"),
    )


class _Parameters:
    def __init__(self, config: Any) -> None:
        self._model = config.name
        self._values: dict[str, str] = {name: value.string_value for name, value in config.parameters.items()}

    def text(self, name: str) -> str:
        value = self._values.get(name)
        if not value:
            raise incomplete(self._model, f"parameter {name} is missing")
        return value

    def number(self, name: str) -> int:
        value = self.text(name)
        if not value.isdecimal() or int(value) < 1:
            raise incomplete(self._model, f"parameter {name} is {value!r}, not a whole number from 1")
        return int(value)


def _frames_tensor(config: Any, side: str) -> str:
    """Name of the one tensor on this side."""
    tensors = getattr(config, side)
    if len(tensors) != 1 or tensors[0].data_type != _UINT8 or list(tensors[0].dims) != _FRAMES:
        raise incomplete(config.name, f"{side} is not one uint8 tensor of {_FRAMES}")
    return str(tensors[0].name)


def incomplete(model: str, why: str) -> StepError:
    """The error for a model that is served without a contract for frames."""
    return StepError(f"model {model} has no complete contract in its config.pbtxt: {why}", code=ErrorCode.MODEL_UNKNOWN)
