"""A small notation for ONNX graphs: a value is its name, an operator is a call."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from exporters.declaration import INPUT, OUTPUT

# old enough for every ONNX Runtime that is still shipped with Triton
_OPSET = 18
_IR_VERSION = 8

FRAMES_IN = helper.make_tensor_value_info(INPUT, TensorProto.UINT8, ["batch", "height", "width", 3])
FRAMES_OUT = helper.make_tensor_value_info(OUTPUT, TensorProto.UINT8, ["batch", "out_height", "out_width", 3])


class Graph:
    """Collects operators and constants in order; names are numbered, so the same calls give the same bytes."""

    def __init__(self) -> None:
        self._nodes: list[onnx.NodeProto] = []
        self._constants: dict[str, onnx.TensorProto] = {}

    def op(self, kind: str, *inputs: str, **attributes: int | str | list[int]) -> str:
        """Append an operator with one output; returns the output's name."""
        name = f"{kind.lower()}_{len(self._nodes)}"
        node = helper.make_node(kind, list(inputs), [name], name)
        node.attribute.extend(helper.make_attribute(key, value) for key, value in sorted(attributes.items()))
        self._nodes.append(node)
        return name

    def floats(self, values: NDArray[np.float32] | float) -> str:
        """A float32 constant."""
        return self._constant(np.asarray(values, np.float32))

    def ints(self, *values: int) -> str:
        """A vector of int64, as shapes and axes are given."""
        return self._constant(np.asarray(values, np.int64))

    def array(self, values: NDArray[np.generic]) -> str:
        """A constant of any type and shape."""
        return self._constant(values)

    def frames_model(self, output: str) -> onnx.ModelProto:
        """The model that takes uint8 frames as INPUT and gives `output`, the value of the last operator, as OUTPUT."""
        if list(self._nodes[-1].output) != [output]:
            raise ValueError(f"{output} is not what the last operator gives")
        return self.model([FRAMES_IN], [(output, FRAMES_OUT)])

    def model(
        self, inputs: Sequence[onnx.ValueInfoProto], outputs: Sequence[tuple[str, onnx.ValueInfoProto]]
    ) -> onnx.ModelProto:
        """The model with these inputs; `outputs` are values and what they are called outside."""
        for value, known_as in outputs:
            self._rename(value, known_as.name)
        constants = list(self._constants.values())
        graph = helper.make_graph(self._nodes, "frames", inputs, [known_as for _, known_as in outputs], constants)
        return helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=_IR_VERSION, producer_name="framewire"
        )

    def _rename(self, value: str, name: str) -> None:
        for node in self._nodes:
            for names in (node.input, node.output):
                names[:] = [name if known == value else known for known in names]

    def _constant(self, values: NDArray[np.generic]) -> str:
        for name, tensor in self._constants.items():
            known = numpy_helper.to_array(tensor)
            if known.dtype == values.dtype and np.array_equal(known, values):
                return name
        name = f"constant_{len(self._constants)}"
        self._constants[name] = numpy_helper.from_array(values, name)
        return name
