"""Bytes before the pixel shuffle: for graphs that make channels of pixels at their very end.

A network that enlarges often computes all pixels of a block as channels of one, and puts them in their places last:

    channels -> DepthToSpace -> clip, x 255, to bytes -> NHWC          as it is exported
    channels -> clip, x 255, to bytes -> the same order of bytes       as it is served

What lies between looks at one value at a time, so the order makes no difference to any bit of the result. Putting
bytes in their places moves a quarter of the memory, and it is laid out here so that ONNX Runtime moves it in long
pieces: 1 ms instead of 6.5 for a frame of 1280x720 on one core.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from exporters.declaration import OUTPUT
from exporters.wiring import Wiring, attribute

_COLOURS = 3
_TO_NHWC = [0, 2, 3, 1]
_ALONE = {"Cast", "Clip", "Relu", "LeakyRelu", "Round", "Floor", "Neg", "Identity"}
"""Operators of one picture that look at one value at a time, and give the same bits wherever it lies in memory."""
_PAIRS = {"Add", "Sub", "Mul", "Div"}
"""The same of two pictures, or of one and a number."""
_REPEATS = {("nearest", "asymmetric", "floor"), ("nearest", "half_pixel", "round_prefer_floor")}
"""Ways of enlarging by a whole number that repeat each pixel."""
_PREFIX = "framewire_shuffle_"


@dataclass(slots=True, kw_only=True)
class _Found:
    """What lies between the last convolutions and the bytes."""

    wiring: Wiring
    shuffles: list[onnx.NodeProto] = field(default_factory=list)
    repeats: list[onnx.NodeProto] = field(default_factory=list)
    between: set[str] = field(default_factory=set)
    """Values that have another shape afterwards."""

    @property
    def block(self) -> int:
        """Pixels of a side of what the shuffle makes of one value."""
        return int(str(attribute(self.shuffles[0], "blocksize", 0)))

    @property
    def mode(self) -> str:
        """CRD: colour, row, column is the order of channels; DCR: row, column, colour."""
        return str(attribute(self.shuffles[0], "mode", "DCR"))


def bytes_before_shuffle(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy of the graph with its conversion to bytes before its last pixel shuffle.

    The model itself, unchanged, when OUTPUT is not made that way, when anything between looks at more than one
    value, or when what lies between is also wanted elsewhere.
    """
    try:
        found = _Found(wiring=Wiring(onnx.shape_inference.infer_shapes(model).graph))
    except (onnx.shape_inference.InferenceError, ValueError):  # operators it does not know, or more than 2 GB
        return model
    last = found.wiring.maker(OUTPUT, "Transpose")
    cast = found.wiring.maker(last.input[0], "Cast") if last and attribute(last, "perm", None) == _TO_NHWC else None
    if cast is None or attribute(cast, "to", None) != TensorProto.UINT8:
        return model
    if not _movable(cast.output[0], found) or not _alike(found):
        return model
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    _move(changed.graph, found)
    return changed


def _movable(name: str, found: _Found) -> bool:
    """Whether this value is the same as one of before the shuffle, shuffled; notes what makes it."""
    wiring = found.wiring
    found.between.add(name)
    if not wiring.taken_once(name):
        return False
    if node := wiring.maker(name, "DepthToSpace"):
        found.shuffles.append(node)
        return True
    if node := wiring.maker(name, "Resize"):
        found.repeats.append(node)
        return True
    if node := wiring.maker(name, *_ALONE):
        return _movable(node.input[0], found)
    if node := wiring.maker(name, *_PAIRS):
        pictures = [given for given in node.input if not _is_number(given, wiring)]
        return all(_movable(picture, found) for picture in pictures)
    return False


def _is_number(name: str, wiring: Wiring) -> bool:
    value = wiring.constants.get(name)
    return value is not None and value.size == 1 and value.ndim <= 4


def _alike(found: _Found) -> bool:
    """Whether there is a shuffle, and everything enlarges pictures of three colours alike."""
    return (
        bool(found.shuffles)
        and all(_is_shuffle(node, found) for node in found.shuffles)
        and all(_repeats_pixels(node, found) for node in found.repeats)
    )


def _is_shuffle(node: onnx.NodeProto, found: _Found) -> bool:
    alike = (attribute(node, "blocksize", 0), attribute(node, "mode", "DCR")) == (found.block, found.mode)
    return alike and _channels(node.input[0], found.wiring) == _COLOURS * found.block**2


def _repeats_pixels(node: onnx.NodeProto, found: _Found) -> bool:
    """Enlarging by repeating each pixel is a shuffle of repeated channels."""
    way = (
        attribute(node, "mode", "nearest"),
        attribute(node, "coordinate_transformation_mode", "half_pixel"),
        attribute(node, "nearest_mode", "round_prefer_floor"),
    )
    scales = found.wiring.constants.get(node.input[2]) if len(node.input) == 3 else None
    by_block = scales is not None and scales.tolist() == [1, 1, found.block, found.block]
    return by_block and way in _REPEATS and _channels(node.input[0], found.wiring) == _COLOURS


def _channels(name: str, wiring: Wiring) -> int | None:
    shape = wiring.shape(name)
    return shape[1] if len(shape) == 4 else None


def _move(graph: onnx.GraphProto, found: _Found) -> None:
    """Take the shuffles out, and put one of bytes in the place of the last transposition."""
    before = {node.output[0]: node.input[0] for node in found.shuffles}
    repeats = {node.output[0] for node in found.repeats}
    # nobody asks any more how much larger
    gone = {*before, *(node.input[2] for node in found.repeats if found.wiring.taken_once(node.input[2]))}
    nodes: list[onnx.NodeProto] = []
    for node in graph.node:
        node.input[:] = [before.get(name, name) for name in node.input]
        if node.output[0] in repeats:
            nodes.append(_repeated_channels(graph, node, found))
        elif node.output[0] == OUTPUT:
            nodes += _byte_shuffle(graph, node.input[0], found)
        elif node.output[0] not in gone:
            nodes.append(node)
    _replace(graph.node, nodes)
    _replace(graph.initializer, [tensor for tensor in graph.initializer if tensor.name not in gone])
    _replace(graph.value_info, [value for value in graph.value_info if value.name not in found.between])


def _replace(part: Any, content: Sequence[Any]) -> None:
    del part[:]
    part.extend(content)


def _repeated_channels(graph: onnx.GraphProto, node: onnx.NodeProto, found: _Found) -> onnx.NodeProto:
    pixels, colours = found.block**2, np.arange(_COLOURS)
    order = np.tile(colours, pixels) if found.mode == "DCR" else np.repeat(colours, pixels)
    indices = _constant(graph, "repeated", order)
    return helper.make_node("Gather", [node.input[0], indices], list(node.output), node.name, axis=1)


def _byte_shuffle(graph: onnx.GraphProto, source: str, found: _Found) -> list[onnx.NodeProto]:
    """From `[batch, channels, height, width]` to OUTPUT, in moves of whole rows and of planes into pixels."""
    block, nodes = found.block, []
    if found.mode == "CRD":  # colours lie outside: bring them inside, into the order row, column, colour
        order = np.arange(_COLOURS * block**2).reshape(_COLOURS, block**2).T.ravel()
        nodes.append(_node("Gather", [source, _constant(graph, "order", order)], "channels", axis=1))
        source = _PREFIX + "channels"
    ints = {name: _constant(graph, name, np.array(values)) for name, values in (
        ("sides", [2, 3]), ("block", [block]), ("any", [-1]), ("colours", [_COLOURS]),
        ("cut", [-1, block, _COLOURS * block]), ("rows", [0, 0, 0, -1]),
    )}  # fmt: skip
    return [
        *nodes,
        _node("Shape", [source], "shape"),
        _node("Gather", [_PREFIX + "shape", ints["sides"]], "size"),
        _node("Concat", [ints["cut"], _PREFIX + "size"], "cut_size", axis=0),
        _node("Reshape", [source, _PREFIX + "cut_size"], "planes"),
        _node("Transpose", [_PREFIX + "planes"], "pixels", perm=[0, 1, 3, 4, 2]),
        _node("Reshape", [_PREFIX + "pixels", ints["rows"]], "rows_of_block"),
        _node("Transpose", [_PREFIX + "rows_of_block"], "picture_rows", perm=[0, 2, 1, 3]),
        _node("Mul", [_PREFIX + "size", ints["block"]], "picture_size"),
        _node("Concat", [ints["any"], _PREFIX + "picture_size", ints["colours"]], "frames_size", axis=0),
        helper.make_node("Reshape", [_PREFIX + "picture_rows", _PREFIX + "frames_size"], [OUTPUT], _PREFIX + "frames"),
    ]


def _constant(graph: onnx.GraphProto, name: str, values: NDArray[np.int64]) -> str:
    name = f"{_PREFIX}const_{name}"
    if all(tensor.name != name for tensor in graph.initializer):
        graph.initializer.append(numpy_helper.from_array(values, name))
    return name


def _node(kind: str, inputs: list[str], output: str, **attributes: Any) -> onnx.NodeProto:
    return helper.make_node(kind, inputs, [_PREFIX + output], _PREFIX + output, **attributes)
