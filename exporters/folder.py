"""A model folder of a repository, read back: its contract, its graph and its card."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from google.protobuf.message import DecodeError
from tritonclient.grpc import model_config_pb2

from exporters.card import Card, read_card
from exporters.config import CONFIG, contract_parameters, dims_of, memory_in, parse_config
from exporters.declaration import (
    FP16,
    FP32,
    HEIGHT,
    INPUT,
    MASK,
    OUTPUT,
    WIDTH,
    Kind,
    Model,
    Precision,
    Reference,
    State,
    Tolerance,
)
from exporters.errors import ExportFailed
from framewire.errors import ErrorCode

if TYPE_CHECKING:  # a list of models needs none of it
    import onnx

GRAPH = "1/model.onnx"
INT8 = Tolerance(levels=4, exact=0.9, state=5e-2)
_TOLERANCES = {Precision.FP32: FP32, Precision.FP16: FP16, Precision.INT8: INT8}
_HEAVY = 8_000_000
_PLAN_BACKEND = "tensorrt"
_STATE_SHAPE = re.compile(r"(\d+),height(?:/(\d+))?,width(?:/(\d+))?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Filed:
    """A recipe: the graph as it lies in its folder. It is its own reference."""

    architecture: str
    file: Path
    checkpoint: Path | None = None
    reproducible: bool = True

    def graph(self, model: Model) -> onnx.ModelProto:
        """The file."""
        import onnx

        try:
            return onnx.load(self.file)
        except (OSError, DecodeError, ValueError) as error:
            raise ExportFailed(f"{model.name}: {self.file.name} cannot be read: {error}") from error

    def reference(self, model: Model) -> Reference:
        """The file on ONNX Runtime."""
        from exporters.parity import session  # ONNX Runtime is needed for nothing else here

        return session(self.file.read_bytes())


def find_model(name: str, repositories: Iterable[Path]) -> Path:
    """The folder of this model. Raises ExportFailed (MODEL_UNKNOWN) naming those there are."""
    known: dict[str, Path] = {}
    for repository in repositories:
        for folder in model_folders(repository):
            known.setdefault(folder.name, folder)
    if name not in known:
        message = f"there is no model {name!r}; there are: {', '.join(sorted(known)) or 'none'}"
        raise ExportFailed(message, code=ErrorCode.MODEL_UNKNOWN)
    return known[name]


def model_folders(repository: Path) -> list[Path]:
    """Folders of models in a repository; none when there is no repository."""
    return sorted(path.parent for path in repository.glob(f"[!.]*/{CONFIG}"))


def read_folder(folder: Path, *, plans: bool = False) -> tuple[Model, Card]:
    """The model of this folder, and its card; `plans`: also that of a TensorRT plan, which has no graph to run here.

    Raises ExportFailed for a config that Triton does not read, a contract that is incomplete or contradicts
    itself, and a graph that is missing or has other tensors.
    """
    try:
        text = (folder / CONFIG).read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise ExportFailed(f"{folder.name}: {CONFIG} cannot be read: {error}") from error
    card = read_card(folder)
    config = parse_config(text)
    model = _declared(folder, config, card)
    if plans and config.backend == _PLAN_BACKEND:
        _check_plan(folder, config.default_model_filename)
    elif config.backend != "onnxruntime":
        raise ExportFailed(f"{folder.name}: its backend is {config.backend!r}; only onnxruntime is known here")
    else:
        _check_graph(model, folder / GRAPH)
    return model, card


def _declared(folder: Path, config: model_config_pb2.ModelConfig, card: Card) -> Model:
    parameters = {name: value.string_value for name, value in config.parameters.items()}
    try:
        precision = Precision(parameters.get("precision", "fp32"))
        model = Model(
            name=config.name,
            kind=Kind(parameters.get("kind", "enhance")),
            scale=_number(parameters, "scale"),
            size_multiple=_number(parameters, "size_multiple"),
            min_size=int(parameters.get("min_size", 1)),
            fixed_size=int(parameters.get("fixed_size", 0)) or None,
            overlap=int(parameters["overlap"]) if "overlap" in parameters else None,
            max_batch=config.max_batch_size or _number(parameters, "max_batch"),
            license=parameters["license"],
            source=parameters.get("source", ""),
            description=parameters["description"],
            precision=precision,
            instances=sum(group.count for group in config.instance_group) or 1,
            state=tuple(_state(tensor, parameters) for tensor in config.input if tensor.name not in (INPUT, MASK)),
            recipe=Filed(architecture=str(card.get("architecture", "")), file=folder / GRAPH),
            tolerance=_TOLERANCES[precision],
            heavy=int((card.get("graph") or {}).get("weights", 0)) > _HEAVY,
        )
        memory = memory_in(parameters)
    except KeyError as error:
        raise ExportFailed(f"{folder.name}: its contract is incomplete: parameter {error} is missing") from error
    except ValueError as error:
        raise ExportFailed(f"{folder.name}: its contract is wrong: {error}") from error
    _check_config(folder, model, config, contract_parameters(model, memory))
    return model


def _check_config(folder: Path, model: Model, config: model_config_pb2.ModelConfig, meant: dict[str, str]) -> None:
    if config.name != folder.name:
        raise ExportFailed(f"{folder.name}: its config is that of a model {config.name!r}")
    for side, names in (("input", model.inputs), ("output", model.outputs)):
        tensors = [(name, dims_of(model, name)) for name in names]
        said = [(tensor.name, list(tensor.dims)) for tensor in getattr(config, side)]
        if said != tensors:
            raise ExportFailed(f"{folder.name}: its contract is wrong: {side} is {said}, not {tensors}")
    for name, value in meant.items():
        if name in config.parameters and (found := config.parameters[name].string_value) != value:
            raise ExportFailed(f"{folder.name}: its contract is wrong: {name} is {found!r}, not {value!r}")


def _check_plan(folder: Path, file: str) -> None:
    if not file or not (folder / "1" / file).is_file():
        raise ExportFailed(f"{folder.name}: there is no plan {file!r}")


def _check_graph(model: Model, file: Path) -> None:
    """The graph has the tensors the config names. Where onnx is not installed, it is there: so models can be listed."""
    if not file.is_file():
        raise ExportFailed(f"{model.name}: there is no {GRAPH}")
    try:
        import onnx
    except ModuleNotFoundError:
        return
    try:
        graph = onnx.load(file, load_external_data=False).graph
    except (DecodeError, OSError, ValueError) as error:
        raise ExportFailed(f"{model.name}: {GRAPH} is broken: {error}") from error
    for side, names in ((graph.input, model.inputs), (graph.output, model.outputs)):
        found = {value.name: len(value.type.tensor_type.shape.dim) for value in side}
        meant = {name: 3 if name not in (INPUT, MASK, OUTPUT) else 4 for name in names}
        if found != meant:
            raise ExportFailed(f"{model.name}: {GRAPH} has the tensors {found}, the contract says {meant}")


def _number(parameters: dict[str, str], name: str) -> int:
    value = parameters[name]
    if not value.isdecimal() or int(value) < 1:
        raise ValueError(f"{name} is {value!r}, not a whole number from 1")
    return int(value)


def _state(tensor: Any, parameters: dict[str, str]) -> State:
    shape = parameters[f"{tensor.name}.shape"]
    found = _STATE_SHAPE.fullmatch(shape)
    if not found or found[2] != found[3]:
        raise ValueError(f"{tensor.name}.shape is {shape!r}, not such as 16,{HEIGHT}/2,{WIDTH}/2")
    output = tensor.name.removesuffix("_IN") + "_OUT"
    return State(input=tensor.name, output=output, channels=int(found[1]), divisor=int(found[2] or 1))
