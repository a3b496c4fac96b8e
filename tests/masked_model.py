"""A model that takes a mask, for tests: it inverts what is masked. As ONNX, in a model repository."""

from __future__ import annotations

from pathlib import Path

import onnx
from model_folder import write_model
from onnx import TensorProto, helper

INVERT_MASKED = "invert_masked"

_CONFIG = """\
name: "invert_masked"
backend: "onnxruntime"
max_batch_size: 8
input [ { name: "FRAMES_IN" data_type: TYPE_UINT8 dims: [ -1, -1, 3 ] },
        { name: "MASK_IN" data_type: TYPE_UINT8 dims: [ -1, -1, 1 ] } ]
output [ { name: "FRAMES_OUT" data_type: TYPE_UINT8 dims: [ -1, -1, 3 ] } ]
instance_group [ { count: 1 kind: KIND_AUTO } ]
parameters { key: "kind" value: { string_value: "inpaint" } }
parameters { key: "scale" value: { string_value: "1" } }
parameters { key: "size_multiple" value: { string_value: "1" } }
parameters { key: "license" value: { string_value: "Apache-2.0" } }
parameters { key: "description" value: { string_value: "Inverts what is masked." } }
"""


def write_invert_masked(repository: Path) -> None:
    """Put the model into a repository."""
    write_model(repository, _CONFIG, _graph())


def _graph() -> onnx.GraphProto:
    nodes = [
        helper.make_node("Cast", ["FRAMES_IN"], ["frames"], to=TensorProto.INT32),
        helper.make_node("Cast", ["MASK_IN"], ["mask"], to=TensorProto.INT32),
        helper.make_node("Greater", ["mask", "half"], ["masked"]),
        helper.make_node("Sub", ["white", "frames"], ["inverted"]),
        helper.make_node("Where", ["masked", "inverted", "frames"], ["made"]),
        helper.make_node("Cast", ["made"], ["FRAMES_OUT"], to=TensorProto.UINT8),
    ]
    shape = ["batch", "height", "width"]
    return helper.make_graph(
        nodes,
        INVERT_MASKED,
        [
            helper.make_tensor_value_info("FRAMES_IN", TensorProto.UINT8, [*shape, 3]),
            helper.make_tensor_value_info("MASK_IN", TensorProto.UINT8, [*shape, 1]),
        ],
        [helper.make_tensor_value_info("FRAMES_OUT", TensorProto.UINT8, [*shape, 3])],
        [
            helper.make_tensor("half", TensorProto.INT32, [], [127]),
            helper.make_tensor("white", TensorProto.INT32, [], [255]),
        ],
    )
