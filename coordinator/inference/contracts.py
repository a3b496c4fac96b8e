"""A model's contract out of the ModelConfig that Triton sends."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tritonclient.grpc import model_config_pb2

from framewire.errors import ErrorCode, StepError
from framewire.steps.contract import ITEM_BYTES, MODEL_KINDS, Extent, ModelContract, StateTensor, parse_shape

_PICTURE = [-1, -1, 3]
_FILM = [-1, *_PICTURE]
_UINT8 = model_config_pb2.TYPE_UINT8
_MASK = [-1, -1, 1]
_IN, _OUT = "_IN", "_OUT"
_INPAINT = "inpaint"


def parse_contract(config: Any, version: str) -> ModelContract:
    """The contract of the model of this `inference.ModelConfig`.

    Raises StepError (MODEL_INVALID) that names what is missing: such a model is served, but not for frames.
    """
    parameters = _Parameters(config)
    _check_kind(config.name, parameters)
    size_multiple = parameters.number("size_multiple")
    frames_in, mask, states = _inputs(config, masked=parameters.optional("kind") == _INPAINT)
    scale = parameters.number("scale")
    if mask and scale != 1:
        raise incomplete(config.name, f"parameter scale is {scale}: a model that fills makes nothing larger")
    return ModelContract(
        name=config.name,
        version=version,
        input=frames_in.name,
        output=_frames_out(config, frames_in, len(states)).name,
        scale=scale,
        size_multiple=size_multiple,
        max_batch=config.max_batch_size or parameters.number("max_batch", None if states else 1),
        license=parameters.text("license"),
        description=parameters.text("description"),
        overlap=parameters.number("overlap", 0) if parameters.optional("overlap") else None,
        max_pixels=parameters.number("max_pixels", 0),
        memory_bytes=parameters.number("memory_bytes", 0),
        bytes_per_pixel=parameters.number("bytes_per_pixel", 0),
        graph_sha256=parameters.optional("graph_sha256"),
        state=tuple(_state(config, tensor, parameters, size_multiple) for tensor in states),
        mask=mask,
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

    def optional(self, name: str) -> str:
        return self._values.get(name, "")

    def number(self, name: str, default: int | None = None) -> int:
        """With a default, which must not be below 0, 0 may be said too; without one it is needed, and at least 1."""
        if default is not None and not self._values.get(name):
            return default
        value = self.text(name)
        least = 1 if default is None else 0
        if not value.isdecimal() or int(value) < least:
            raise incomplete(self._model, f"parameter {name} is {value!r}, not a whole number from {least}")
        return int(value)

    def shape(self, name: str) -> tuple[Extent, ...]:
        try:
            return parse_shape(self.text(name))
        except ValueError as error:
            raise incomplete(self._model, f"parameter {name}: {error}") from error


def _check_kind(model: str, parameters: _Parameters) -> None:
    kind = parameters.optional("kind")
    if kind and kind not in MODEL_KINDS:
        raise StepError(f"model {model} is of kind {kind}, which no step uses yet", code=ErrorCode.MODEL_INVALID)
    if size := parameters.number("fixed_size", 0):
        message = f"model {model} takes pictures of {size}x{size} alone, which no step uses yet"
        raise StepError(message, code=ErrorCode.MODEL_INVALID)


def _inputs(config: Any, *, masked: bool) -> tuple[Any, str, list[Any]]:
    """The tensor that takes frames, the name of the one that takes a mask, and those that take what is remembered."""
    frames = [tensor for tensor in config.input if _takes_frames(config, tensor)]
    masks = [tensor.name for tensor in config.input if masked and _takes_mask(tensor)]
    states = [tensor for tensor in config.input if tensor not in frames and tensor.name not in masks]
    if masked and (len(masks) != 1 or states or not config.max_batch_size):
        raise incomplete(config.name, f"beside its frames there is not one input alone, a uint8 mask of {_MASK}")
    if len(frames) != 1:
        raise incomplete(config.name, f"input is not one uint8 tensor of {_frames_dims(config)}")
    if states and config.max_batch_size:
        raise incomplete(config.name, "max_batch_size must be 0 where there are state tensors")
    return frames[0], next(iter(masks), ""), states


def _frames_dims(config: Any) -> list[int]:
    return _PICTURE if config.max_batch_size else _FILM


def _takes_frames(config: Any, tensor: Any) -> bool:
    return tensor.data_type == _UINT8 and list(tensor.dims) == _frames_dims(config)


def _takes_mask(tensor: Any) -> bool:
    return tensor.data_type == _UINT8 and list(tensor.dims) == _MASK


def _frames_out(config: Any, frames_in: Any, states: int) -> Any:
    """The output beside `frames_in`; where there is but one, whatever it is called."""
    tensor = config.output[0] if len(config.output) == 1 else _partner(config, frames_in)
    if len(config.output) != 1 + states:
        raise incomplete(config.name, "there are not as many outputs as inputs, masks left out")
    if not _takes_frames(config, tensor):
        raise incomplete(config.name, f"output is not one uint8 tensor of {_frames_dims(config)}")
    return tensor


def _partner(config: Any, tensor: Any) -> Any:
    """The output of the same name but for its ending."""
    wanted = tensor.name.removesuffix(_IN) + _OUT
    for output in config.output:
        if tensor.name.endswith(_IN) and output.name == wanted:
            return output
    raise incomplete(config.name, f"input {tensor.name} has no output {wanted}")


def _state(config: Any, tensor: Any, parameters: _Parameters, size_multiple: int) -> StateTensor:
    partner = _partner(config, tensor)
    if (partner.data_type, list(partner.dims)) != (tensor.data_type, list(tensor.dims)):
        raise incomplete(config.name, f"{tensor.name} and {partner.name} differ in type or dims")
    datatype = model_config_pb2.DataType.Name(tensor.data_type).removeprefix("TYPE_")
    extents = parameters.shape(f"{tensor.name}.shape")

    def check(right: bool, why: Callable[[], str]) -> None:
        if not right:
            raise incomplete(config.name, f"{tensor.name}: {why()}")

    check(datatype in ITEM_BYTES, lambda: f"a state of type {datatype} cannot be kept")
    check(_fits(extents, list(tensor.dims)), lambda: f"its shape does not fit its dims {list(tensor.dims)}")
    divisors = [extent.divided_by for extent in extents]
    check(all(size_multiple % divisor == 0 for divisor in divisors), lambda: "it divides sizes that size_multiple lets")
    return StateTensor(input=tensor.name, output=partner.name, datatype=datatype, extents=extents)


def _fits(extents: tuple[Extent, ...], dims: list[int]) -> bool:
    return len(extents) == len(dims) and all(
        dim == -1 if extent.side else dim in (-1, extent.times) for extent, dim in zip(extents, dims, strict=True)
    )


def incomplete(model: str, why: str) -> StepError:
    """The error for a model that is served without a contract for frames."""
    return StepError(f"model {model} has no complete contract in its config.pbtxt: {why}", code=ErrorCode.MODEL_INVALID)
