"""A recurrent model for tests: frames are the sums of all frames so far, modulo 256. As ONNX, in a model repository."""

from __future__ import annotations

from pathlib import Path

import onnx
from model_folder import write_model
from onnx import TensorProto, helper

RUNNING_SUM = "running_sum"

_CONFIG = """\
name: "running_sum"
backend: "onnxruntime"
max_batch_size: 0
input [ { name: "FRAMES_IN" data_type: TYPE_UINT8 dims: [ -1, -1, -1, 3 ] },
        { name: "STATE_IN" data_type: TYPE_FP32 dims: [ -1, -1, 3 ] } ]
output [ { name: "FRAMES_OUT" data_type: TYPE_UINT8 dims: [ -1, -1, -1, 3 ] },
         { name: "STATE_OUT" data_type: TYPE_FP32 dims: [ -1, -1, 3 ] } ]
instance_group [ { count: 1 kind: KIND_AUTO } ]
parameters { key: "scale" value: { string_value: "1" } }
parameters { key: "size_multiple" value: { string_value: "1" } }
parameters { key: "max_batch" value: { string_value: "8" } }
parameters { key: "license" value: { string_value: "Apache-2.0" } }
parameters { key: "description" value: { string_value: "The sum of all frames so far, modulo 256." } }
parameters { key: "STATE_IN.shape" value: { string_value: "height,width,3" } }
"""


def write_running_sum(repository: Path) -> None:
    """Put the model into a repository."""
    write_model(repository, _CONFIG, _graph())


def _graph() -> onnx.GraphProto:
    nodes = [
        helper.make_node("Cast", ["FRAMES_IN"], ["frames"], to=TensorProto.FLOAT),
        helper.make_node("CumSum", ["frames", "first"], ["running"]),
        helper.make_node("Add", ["running", "STATE_IN"], ["sums"]),
        helper.make_node("Mod", ["sums", "levels"], ["within"], fmod=1),
        helper.make_node("Cast", ["within"], ["FRAMES_OUT"], to=TensorProto.UINT8),
        helper.make_node("Gather", ["within", "last"], ["STATE_OUT"], axis=0),
    ]
    frames, state = ["time", "height", "width", 3], ["height", "width", 3]
    return helper.make_graph(
        nodes,
        RUNNING_SUM,
        [
            helper.make_tensor_value_info("FRAMES_IN", TensorProto.UINT8, frames),
            helper.make_tensor_value_info("STATE_IN", TensorProto.FLOAT, state),
        ],
        [
            helper.make_tensor_value_info("FRAMES_OUT", TensorProto.UINT8, frames),
            helper.make_tensor_value_info("STATE_OUT", TensorProto.FLOAT, state),
        ],
        [
            helper.make_tensor("first", TensorProto.INT64, [], [0]),
            helper.make_tensor("last", TensorProto.INT64, [], [-1]),
            helper.make_tensor("levels", TensorProto.FLOAT, [], [256.0]),
        ],
    )
