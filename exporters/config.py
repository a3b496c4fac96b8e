"""The config.pbtxt of a model, and its variant for TensorRT.

Its parameters carry the contract, as framewire/steps/contract.py describes it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from exporters.declaration import HEIGHT, INPUT, MASK, OUTPUT, WIDTH, Model, Precision, State
from exporters.errors import ExportFailed
from exporters.profiles import profile_of, profile_text

CONFIG = "config.pbtxt"
TENSORRT_CONFIG = "configs/tensorrt.pbtxt"
"""What `tritonserver --model-config-name=tensorrt` takes instead of CONFIG."""
_ENGINES = "/var/cache/framewire/tensorrt"
"""Where the server keeps engines; a volume there keeps them over its restart."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """What a model was measured to need; neutral values: 0, for not measured."""

    loaded: int = 0
    """Bytes the loaded model holds after one 640x360 frame."""
    per_pixel: int = 0
    """Bytes a request needs for each pixel of a picture that goes in."""


def config_files(model: Model, memory: Memory | None = None, *, graph_sha256: str = "") -> dict[str, str]:
    """Text by path in the model's folder, for the graph of this hash.

    Raises ExportFailed when Triton would read something else out of it.
    """
    memory = memory or Memory()
    texts = {
        CONFIG: config_text(model, memory),
        TENSORRT_CONFIG: config_text(model, memory, accelerator=tensorrt_accelerator(model)),
    }
    of_graph = _parameter("graph_sha256", graph_sha256) + "\n" if graph_sha256 else ""
    return {name: _checked(model, memory, text) + of_graph for name, text in texts.items()}


def config_text(model: Model, memory: Memory | None = None, *, accelerator: str = "") -> str:
    """The file's text; strings are quoted as JSON quotes them, which is how the text format reads them."""
    recurrent = bool(model.state)
    lines = [
        "# Written by the exporters; change the model's declaration, not this.",
        f"name: {json.dumps(model.name)}",
        'backend: "onnxruntime"',
        f"max_batch_size: {0 if recurrent else model.max_batch}",
        *(_tensor("input", name, model) for name in model.inputs),
        *(_tensor("output", name, model) for name in model.outputs),
        f"instance_group [ {{ count: {model.instances} kind: KIND_AUTO }} ]",
        *([accelerator] if accelerator else []),
        *(_parameter(name, value) for name, value in contract_parameters(model, memory or Memory()).items()),
    ]
    return "\n".join(lines) + "\n"


def contract_parameters(model: Model, memory: Memory) -> dict[str, str]:
    """The contract as text by name. Tensors stand in the config itself."""
    always = {
        "scale": str(model.scale),
        "size_multiple": str(model.size_multiple),
        "license": model.license,
        "description": model.description,
        "kind": str(model.kind),
        "precision": str(model.precision),
        "source": model.source,
    }
    numbers = {
        "min_size": model.min_size if model.min_size > model.size_multiple else 0,
        "fixed_size": model.fixed_size or 0,
        "max_batch": model.max_batch if model.state else 0,
        "memory_bytes": memory.loaded,
        "bytes_per_pixel": memory.per_pixel,
    }
    shapes = {f"{state.input}.shape": _shape(state) for state in model.state}
    known = {} if model.overlap is None else {"overlap": str(model.overlap)}  # 0 is known, too
    return always | known | {name: str(number) for name, number in numbers.items() if number} | shapes


def memory_in(parameters: Mapping[str, str]) -> Memory:
    """What the parameters of a config say of it."""
    return Memory(loaded=int(parameters.get("memory_bytes", 0)), per_pixel=int(parameters.get("bytes_per_pixel", 0)))


def tensorrt_accelerator(model: Model) -> str:
    """ONNX Runtime's TensorRT accelerator for the sizes of `profile_of`; engines are kept from one load to the next."""
    profile = profile_of(model)
    parameters = {
        "precision_mode": "INT8" if model.precision is Precision.INT8 else "FP16",
        "max_workspace_size_bytes": str(1 << 30),
        "trt_engine_cache_enable": "true",
        "trt_engine_cache_path": _ENGINES,
        "trt_engine_cache_prefix": model.name,
        "trt_timing_cache_enable": "true",
        "trt_timing_cache_path": _ENGINES,
        "trt_profile_min_shapes": profile_text(profile.least),
        "trt_profile_opt_shapes": profile_text(profile.usual),
        "trt_profile_max_shapes": profile_text(profile.largest),
    }
    inside = " ".join(
        f"parameters {{ key: {json.dumps(name)} value: {json.dumps(value)} }}" for name, value in parameters.items()
    )
    accelerator = f'gpu_execution_accelerator [ {{ name: "tensorrt" {inside} }} ]'
    return f"optimization {{ execution_accelerators {{ {accelerator} }} }}"


def parse_config(text: str) -> model_config_pb2.ModelConfig:
    """The config as Triton's own protobuf reads it. Raises ExportFailed for what it does not understand."""
    try:
        return text_format.Parse(text, model_config_pb2.ModelConfig())
    except text_format.ParseError as error:
        raise ExportFailed(f"config.pbtxt is not what Triton reads: {error}") from error


def dims_of(model: Model, name: str) -> list[int]:
    """A tensor's `dims` in the config: without the batch, which only a model without state has."""
    for state in model.state:
        if name in (state.input, state.output):
            return [state.channels, -1, -1]
    side = model.fixed_size * (model.scale if name == OUTPUT else 1) if model.fixed_size else -1
    return [*([-1] if model.state else []), side, side, 1 if name == MASK else 3]


def _tensor(side: str, name: str, model: Model) -> str:
    kind = "TYPE_UINT8" if name in (INPUT, MASK, OUTPUT) else "TYPE_FP32"
    dims = ", ".join(map(str, dims_of(model, name)))
    return f"{side} [ {{ name: {json.dumps(name)} data_type: {kind} dims: [ {dims} ] }} ]"


def _shape(state: State) -> str:
    sides = (f"{side}/{state.divisor}" if state.divisor > 1 else side for side in (HEIGHT, WIDTH))
    return ",".join([str(state.channels), *sides])


def _parameter(name: str, value: str) -> str:
    quoted = json.dumps(value, ensure_ascii=False)
    return f"parameters {{ key: {json.dumps(name)} value: {{ string_value: {quoted} }} }}"


def _checked(model: Model, memory: Memory, text: str) -> str:
    """The text, once Triton's protobuf has read out of it what was meant."""
    config = parse_config(text)
    meant = {"name": model.name, "backend": "onnxruntime", "batch": 0 if model.state else model.max_batch}
    read: dict[str, object] = {"name": config.name, "backend": config.backend, "batch": config.max_batch_size}
    for side, names in (("input", model.inputs), ("output", model.outputs)):
        meant[side] = [(name, dims_of(model, name)) for name in names]
        read[side] = [(tensor.name, list(tensor.dims)) for tensor in getattr(config, side)]
    meant["parameters"] = contract_parameters(model, memory)
    read["parameters"] = _string_values(config.parameters)
    if read != meant:
        raise ExportFailed(f"{model.name}: Triton would read {read} out of config.pbtxt, not {meant}")
    return text


def _string_values(parameters: Mapping[str, model_config_pb2.ModelParameter]) -> dict[str, str]:
    return {name: value.string_value for name, value in parameters.items()}
