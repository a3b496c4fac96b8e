"""Bytes at the very edges alone, for TensorRT: it takes uint8 into a cast, and out of one, and nowhere else.

Graphs for other runtimes cut and move bytes, because bytes are small. Moving the same values as floats gives the same
result, so the casts can be taken to the edges. Documented by TensorRT under its data type UINT8.
"""

from __future__ import annotations

import onnx
from onnx import TensorProto, helper

from exporters.wiring import Wiring, attribute

_MOVES = ("Reshape", "Transpose", "Slice", "Concat", "Gather", "DepthToSpace", "Squeeze", "Unsqueeze", "Identity")
"""Operators that only move values."""
_PREFIX = "framewire_edge_"


def casts_at_edges(content: bytes) -> bytes:
    """A serialized graph with a cast behind each uint8 input and before each uint8 output, and floats between them.

    Computes the same. An output that is not made by moving what a cast gave is left as it is.
    """
    model = onnx.load_from_string(content)
    graph = model.graph
    first = [_cast_input(graph, value.name) for value in graph.input if _is_bytes(value)]
    last = [cast for value in graph.output if _is_bytes(value) for cast in _cast_output(graph, value.name)]
    nodes = [*first, *graph.node, *last]
    del graph.node[:], graph.value_info[:]
    graph.node.extend(nodes)
    return model.SerializeToString(deterministic=True)


def _is_bytes(value: onnx.ValueInfoProto) -> bool:
    return bool(value.type.tensor_type.elem_type == TensorProto.UINT8)


def _cast_input(graph: onnx.GraphProto, name: str) -> onnx.NodeProto:
    """The cast; everything that took the input takes what it gives."""
    floats = _PREFIX + name
    for node in graph.node:
        node.input[:] = [floats if given == name else given for given in node.input]
    return helper.make_node("Cast", [name], [floats], floats, to=TensorProto.FLOAT)


def _cast_output(graph: onnx.GraphProto, name: str) -> list[onnx.NodeProto]:
    """The cast, in the place of those whose results were moved to this output; none where there are none."""
    casts = _casts_behind(name, Wiring(graph))
    if not casts:
        return []
    for cast in casts:  # they cut fractions off: the one at the edge does it for all
        cast.op_type = "Identity"
        del cast.attribute[:]
    floats = _PREFIX + name
    for node in graph.node:
        node.output[:] = [floats if given == name else given for given in node.output]
    return [helper.make_node("Cast", [floats], [name], floats, to=TensorProto.UINT8)]


def _casts_behind(name: str, wiring: Wiring) -> list[onnx.NodeProto]:
    """Casts to bytes that this value is made of by moving alone; none when it is made otherwise, too."""
    casts: list[onnx.NodeProto] = []
    pending = [name]
    while pending:
        value = pending.pop()
        cast, move = wiring.maker(value, "Cast"), wiring.maker(value, *_MOVES)
        if not wiring.taken_once(value, "Shape"):
            return []
        if cast is not None and attribute(cast, "to", None) == TensorProto.UINT8:
            casts.append(cast)
        elif move is not None:
            pending += move.input if move.op_type == "Concat" else move.input[:1]
        else:
            return []
    return casts
