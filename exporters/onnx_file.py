"""An ONNX file from elsewhere as a declared model: frames at its edges, and what it does proven against itself."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from onnx import TensorProto, helper
from onnx.external_data_helper import ExternalDataInfo, load_external_data_for_tensor, uses_external_data

from exporters.declaration import FP16, FP32, INPUT, OUTPUT, Kind, Model, Precision, Reference, Tensors, Tolerance
from exporters.errors import ExportFailed
from exporters.labels import Labels
from exporters.parity import session
from exporters.reach import reach_of
from exporters.shuffle import bytes_before_shuffle

_STANDARD = {"", "ai.onnx", "com.microsoft"}  # the last one's operators every ONNX Runtime has built in
_FLOATS = {TensorProto.FLOAT: np.float32, TensorProto.FLOAT16: np.float16}
_LIMIT = 2_000_000_000  # protobuf's own
_HEAVY = 32_000_000
_TRIED = (64, 72)
_PREFIX = "framewire_"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wrapped:
    """A recipe: a graph that takes and gives floats, NCHW, 0 to 1, put between frames."""

    architecture: str
    checkpoint: Path | None
    inner: onnx.ModelProto
    half: bool
    reproducible: bool = True

    def graph(self, model: Model) -> onnx.ModelProto:
        """With the conversions inside."""
        del model
        return between_frames(self.inner, half=self.half)

    def reference(self, model: Model) -> Reference:
        """The file as it came, with the conversions done outside."""
        del model
        run = session(self.inner.SerializeToString())
        name = self.inner.graph.input[0].name
        output = self.inner.graph.output[0].name
        dtype = np.float16 if self.half else np.float32

        def compute(tensors: Tensors) -> Tensors:
            pixels = tensors[INPUT].transpose(0, 3, 1, 2).astype(dtype) / np.asarray(255, dtype)
            result = run({name: pixels})[output].astype(np.float32)
            levels = (result.clip(0, 1) * np.float32(255) + np.float32(0.5)).astype(np.uint8)
            return {OUTPUT: np.ascontiguousarray(levels.transpose(0, 2, 3, 1))}

        return compute


def read_onnx(path: Path, labels: Labels) -> Model:
    """The model in this file.

    Raises ExportFailed when it is broken, does not turn one picture into one, or needs more than itself and the
    operators every ONNX Runtime has.
    """
    inner = _read(path)
    _check_operators(path, inner)
    height, width, batch, half = _edges(path, inner)
    recipe = Wrapped(architecture="ONNX", checkpoint=path, inner=inner, half=half)
    scale = _scale(path, recipe, height or _TRIED[0], width or _TRIED[1])
    if (height or width) and height != width:
        raise ExportFailed(f"{path} takes pictures of {width}x{height} alone; only square ones, or any size, will do")
    precision = Precision.FP16 if half else Precision.FP32
    model = Model(
        name=labels.name,
        kind=Kind.ENHANCE if scale > 1 else Kind.DENOISE,
        scale=scale,
        size_multiple=1 if height else _multiple(recipe, scale),
        fixed_size=height,
        overlap=None,
        max_batch=batch or 8,
        heavy=path.stat().st_size > _HEAVY,
        license=labels.license,
        source=labels.source,
        description=labels.description or f"{scale} times the size, from an ONNX file",
        precision=precision,
        recipe=recipe,
        tolerance=_tolerance(precision),
    )
    return model if model.fixed_size else replace(model, overlap=reach_of(model))


def _tolerance(precision: Precision) -> Tolerance:
    return FP16 if precision is Precision.FP16 else FP32


def _read(path: Path) -> onnx.ModelProto:
    if not path.is_file():
        raise ExportFailed(f"there is no file {path}")
    try:
        if path.stat().st_size > _LIMIT:
            raise ExportFailed(f"{path} is larger than 2 GB")
        model = onnx.load(path, load_external_data=False)
    except (DecodeError, OSError, ValueError) as error:
        raise ExportFailed(f"{path} is broken: {' '.join(str(error).split())[:200]}") from error
    if not model.graph.node:
        raise ExportFailed(f"{path} is broken: there is no graph in it")
    for tensor in _tensors(model):
        if uses_external_data(tensor):
            _load_beside(path, tensor)
    try:
        onnx.checker.check_model(model)
    except (onnx.checker.ValidationError, ValueError) as error:
        raise ExportFailed(f"{path} is broken: {' '.join(str(error).split())[:300]}") from error
    return model


def _load_beside(path: Path, tensor: TensorProto) -> None:
    """Take a tensor's bytes in from a file beside the model's; no other is read."""
    folder = path.resolve().parent
    location = ExternalDataInfo(tensor).location
    file = (folder / location).resolve()
    if not location or file.parent != folder or (folder / location).is_symlink():
        raise ExportFailed(f"{path} is refused: it wants data from {location!r}, which is not a file beside it")
    try:
        load_external_data_for_tensor(tensor, str(folder))
    except (OSError, ValueError, onnx.checker.ValidationError) as error:
        raise ExportFailed(f"{path} is broken: its data in {location} cannot be read ({error})") from error
    tensor.data_location = TensorProto.DEFAULT
    del tensor.external_data[:]


def _check_operators(path: Path, model: onnx.ModelProto) -> None:
    own = {function.domain for function in model.functions}
    foreign = sorted({f"{node.domain}.{node.op_type}" for node in _nodes(model) if node.domain not in _STANDARD | own})
    if foreign:
        raise ExportFailed(f"{path} is refused: it needs operators that no ONNX Runtime has: {', '.join(foreign[:5])}")


def _edges(path: Path, model: onnx.ModelProto) -> tuple[int | None, int | None, int | None, bool]:
    """Height, width and batch it is bound to, None for any; and whether it takes fp16."""
    weights = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in weights]
    if len(inputs) != 1 or len(model.graph.output) != 1:
        raise ExportFailed(
            f"{path} has {len(inputs)} inputs and {len(model.graph.output)} outputs, not one picture each"
        )
    if len(inputs) != len(model.graph.input):
        raise ExportFailed(f"{path} lists its weights as inputs, as graphs did before 2019; export it anew")
    tensor = inputs[0].type.tensor_type
    shape = [dimension.dim_value or None for dimension in tensor.shape.dim]
    if tensor.elem_type not in _FLOATS or len(shape) != 4 or shape[1] not in (3, None):
        raise ExportFailed(f"{path} takes no colour pictures as floats [batch, 3, height, width]")
    return shape[2], shape[3], shape[0], tensor.elem_type == TensorProto.FLOAT16


def _scale(path: Path, recipe: Wrapped, height: int, width: int) -> int:
    run = session(recipe.inner.SerializeToString())
    name, output = recipe.inner.graph.input[0].name, recipe.inner.graph.output[0].name
    dtype = np.float16 if recipe.half else np.float32
    shape = run({name: np.zeros((1, 3, height, width), dtype)})[output].shape
    if len(shape) != 4 or shape[1] != 3 or shape[2] % height or shape[3] * height != shape[2] * width:
        raise ExportFailed(
            f"{path} makes {list(shape)} of [1, 3, {height}, {width}], which is no picture of a whole scale"
        )
    return int(shape[2] // height)


def _multiple(recipe: Wrapped, scale: int) -> int:
    """The least power of two whose multiples it takes."""
    run = session(recipe.inner.SerializeToString())
    name, output = recipe.inner.graph.input[0].name, recipe.inner.graph.output[0].name
    dtype = np.float16 if recipe.half else np.float32
    for multiple in (1, 2, 4, 8, 16, 32, 64):
        height, width = (side if side % multiple == 0 else multiple for side in (33 * multiple, 35 * multiple))
        try:
            shape = run({name: np.zeros((1, 3, height, width), dtype)})[output].shape
        except ExportFailed:
            continue
        if shape == (1, 3, height * scale, width * scale):
            return multiple
    raise ExportFailed("no multiple of 64 pixels will do for it")


def between_frames(inner: onnx.ModelProto, *, half: bool = False) -> onnx.ModelProto:
    """A graph that takes and gives floats, NCHW, 0 to 1, between uint8 frames, NHWC; `half` for one in fp16."""
    model = onnx.ModelProto()
    model.CopyFrom(inner)
    graph = model.graph
    shape = graph.input[0].type.tensor_type.shape
    sides = [dimension.dim_value or None for dimension in shape.dim[2:]]
    frames = [
        shape.dim[0].dim_value or "batch",
        *(side or name for side, name in zip(sides, ("height", "width"), strict=True)),
    ]
    _add_constants(graph, np.float16 if half else np.float32)
    nodes = [*_before(graph.input[0].name, half=half), *graph.node, *_after(graph.output[0].name)]
    for part in (graph.node, graph.input, graph.output):
        del part[:]
    graph.node.extend(nodes)
    graph.input.append(helper.make_tensor_value_info(INPUT, TensorProto.UINT8, [*frames, 3]))
    out = [frames[0], "out_height", "out_width", 3]
    graph.output.append(helper.make_tensor_value_info(OUTPUT, TensorProto.UINT8, out))
    model.producer_name, model.producer_version, model.doc_string = "framewire", "", ""
    return bytes_before_shuffle(model)


def _add_constants(graph: onnx.GraphProto, dtype: Any) -> None:
    for name, value, value_type in (
        ("levels", 255.0, dtype), ("whites", 255.0, np.float32), ("half", 0.5, np.float32),
        ("zero", 0.0, np.float32), ("one", 1.0, np.float32),
    ):  # fmt: skip
        graph.initializer.append(onnx.numpy_helper.from_array(np.asarray(value, value_type), _PREFIX + name))


def _before(source: str, *, half: bool) -> list[onnx.NodeProto]:
    """From uint8 NHWC to what the graph takes as `source`."""
    return [
        _node("Transpose", [INPUT], "planes", perm=[0, 3, 1, 2]),
        _node("Cast", [_PREFIX + "planes"], "floats", to=TensorProto.FLOAT16 if half else TensorProto.FLOAT),
        helper.make_node("Div", [_PREFIX + "floats", _PREFIX + "levels"], [source], _PREFIX + "div"),
    ]


def _after(result: str) -> list[onnx.NodeProto]:
    """From what the graph gives as `result` to uint8 NHWC."""
    return [
        _node("Cast", [result], "result", to=TensorProto.FLOAT),
        _node("Clip", [_PREFIX + "result", _PREFIX + "zero", _PREFIX + "one"], "clipped"),
        _node("Mul", [_PREFIX + "clipped", _PREFIX + "whites"], "scaled"),
        _node("Add", [_PREFIX + "scaled", _PREFIX + "half"], "rounded"),
        _node("Cast", [_PREFIX + "rounded"], "bytes", to=TensorProto.UINT8),
        helper.make_node("Transpose", [_PREFIX + "bytes"], [OUTPUT], _PREFIX + "frames", perm=[0, 2, 3, 1]),
    ]


def _node(kind: str, inputs: list[str], output: str, **attributes: Any) -> onnx.NodeProto:
    return helper.make_node(kind, inputs, [_PREFIX + output], _PREFIX + output, **attributes)


def _nodes(model: onnx.ModelProto) -> Iterator[onnx.NodeProto]:
    """Every node, those of subgraphs and functions included."""
    pending = [*model.graph.node, *(node for function in model.functions for node in function.node)]
    while pending:
        node = pending.pop()
        yield node
        for attribute in node.attribute:
            pending.extend(attribute.g.node)
            pending.extend(inside for graph in attribute.graphs for inside in graph.node)


def _tensors(model: onnx.ModelProto) -> Iterator[TensorProto]:
    """Every tensor, wherever it is kept."""
    yield from model.graph.initializer
    for node in _nodes(model):
        for attribute in node.attribute:
            yield attribute.t
            yield from attribute.tensors
            for graph in (attribute.g, *attribute.graphs):
                yield from graph.initializer
