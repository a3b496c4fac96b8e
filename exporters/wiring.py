"""Who makes and who takes each value of an ONNX graph: for changing a graph that is there already."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper


class Wiring:
    """A graph by its values. What it says holds until nodes are added, removed or connected in another way."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        self.constants = dict(_constants(graph))
        """What is known beforehand, by name."""
        self._makers = {name: node for node in graph.node for name in node.output if name}
        self._takers: dict[str, list[str]] = defaultdict(list)
        for name, kind in (*_taken(graph), *((value.name, "") for value in graph.output)):
            self._takers[name].append(kind)
        self._shapes = {value.name: _shape(value) for value in (*graph.input, *graph.value_info)}

    def maker(self, name: str, *kinds: str) -> onnx.NodeProto | None:
        """The operator that gives this value, if it is one of those kinds; None for an input of the graph."""
        node = self._makers.get(name)
        return node if node is not None and node.domain in ("", "ai.onnx") and node.op_type in kinds else None

    def taken_once(self, name: str, *besides: str) -> bool:
        """Whether one operator takes this value, or the caller of the graph does; those of kinds `besides` aside."""
        return len([kind for kind in self._takers.get(name, []) if kind not in besides]) == 1

    def shape(self, name: str) -> list[int | None]:
        """As far as the graph says; None for a side that is free, an empty list for what is unknown."""
        return self._shapes.get(name, [])


def attribute(node: onnx.NodeProto, name: str, otherwise: object) -> object:
    """An attribute's value, text as text."""
    for each in node.attribute:
        if each.name == name:
            value = onnx.helper.get_attribute_value(each)
            return value.decode() if isinstance(value, bytes) else value
    return otherwise


def _constants(graph: onnx.GraphProto) -> Iterator[tuple[str, NDArray[np.generic]]]:
    for tensor in graph.initializer:
        yield tensor.name, numpy_helper.to_array(tensor)
    for node in graph.node:
        value = attribute(node, "value", None) if node.op_type == "Constant" else None
        if isinstance(value, onnx.TensorProto):
            yield node.output[0], numpy_helper.to_array(value)


def _taken(graph: onnx.GraphProto) -> Iterator[tuple[str, str]]:
    """Names and the kinds of operators that take them; subgraphs take from outside, too."""
    for node in graph.node:
        yield from ((name, node.op_type) for name in node.input)
        for each in node.attribute:
            for inside in (each.g, *each.graphs):
                yield from _taken(inside)
                yield from ((value.name, node.op_type) for value in inside.output)


def _shape(value: onnx.ValueInfoProto) -> list[int | None]:
    return [side.dim_value or None for side in value.type.tensor_type.shape.dim]
