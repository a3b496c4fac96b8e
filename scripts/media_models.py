"""The two nets the media engine is timed with: one of the size of ESPCN, and one that does nothing.

Each comes as its bare body (float, NCHW, as other runtimes want it), and as Triton serves it: uint8 NHWC at the edges,
the conversion inside the graph. Weights are random: only the arithmetic counts.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from exporters.onnx_file import between_frames

OPSET = 17
_ESPCN = ((32, 3, 5), (16, 32, 3), (12, 16, 3))
"""Filters, inputs and kernel size of each convolution; then depth to space by two."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchModel:
    """A net and what it does to sizes."""

    name: str
    scale: int


ESPCN = BenchModel(name="bench_espcn_x2", scale=2)
IDENTITY = BenchModel(name="bench_identity", scale=1)


def write_repository(folder: Path) -> Path:
    """A Triton repository with both; returns it."""
    for model in (ESPCN, IDENTITY):
        version = folder / model.name / "1"
        version.mkdir(parents=True)
        onnx.save(served(model), str(version / "model.onnx"))
        (folder / model.name / "config.pbtxt").write_text(_config(model))
    return folder


def served(model: BenchModel) -> onnx.ModelProto:
    """The graph with uint8 NHWC edges, as an ONNX file that is imported gets them."""
    if model is IDENTITY:
        nodes = [helper.make_node("Identity", ["FRAMES_IN"], ["FRAMES_OUT"])]
        return _model(model, nodes, [], _nhwc("FRAMES_IN"), _nhwc("FRAMES_OUT"))
    return between_frames(bare(model))


def bare(model: BenchModel) -> onnx.ModelProto:
    """The body alone: float NCHW from 0 to 1."""
    if model is IDENTITY:
        nodes, weights = [helper.make_node("Identity", ["input"], ["output"])], []
    else:
        nodes, weights = _espcn("input", "output")
    return _model(model, nodes, weights, _nchw("input"), _nchw("output"))


def _espcn(source: str, target: str) -> tuple[list[onnx.NodeProto], list[onnx.TensorProto]]:
    generator = np.random.default_rng(1)
    nodes, weights, tensor = [], [], source
    for number, (filters, inputs, size) in enumerate(_ESPCN):
        kernel = generator.normal(0, (inputs * size * size) ** -0.5, (filters, inputs, size, size)).astype(np.float32)
        weights += [
            numpy_helper.from_array(kernel, f"w{number}"),
            numpy_helper.from_array(np.full(filters, 0.1, np.float32), f"b{number}"),
        ]
        out = f"c{number}"
        names = [tensor, f"w{number}", f"b{number}"]
        nodes.append(helper.make_node("Conv", names, [out], pads=[size // 2] * 4, kernel_shape=[size, size]))
        tensor = out
        if number + 1 < len(_ESPCN):
            nodes.append(helper.make_node("Relu", [out], [f"r{number}"]))
            tensor = f"r{number}"
    nodes.append(helper.make_node("DepthToSpace", [tensor], [target], blocksize=2, mode="CRD"))
    return nodes, weights


def _model(
    model: BenchModel,
    nodes: list[onnx.NodeProto],
    weights: list[onnx.TensorProto],
    source: onnx.ValueInfoProto,
    target: onnx.ValueInfoProto,
) -> onnx.ModelProto:
    graph = helper.make_graph(nodes, model.name, [source], [target], weights)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8)
    onnx.checker.check_model(made)
    return made


def _nhwc(name: str) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.UINT8, ["batch", f"{name}_h", f"{name}_w", 3])


def _nchw(name: str) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 3, f"{name}_h", f"{name}_w"])


def _config(model: BenchModel) -> str:
    parameters = {
        "scale": str(model.scale),
        "size_multiple": "1",
        "license": "Apache-2.0",
        "description": "For benchmarks: random weights.",
    }
    lines = [f'parameters {{ key: "{key}" value: {{ string_value: "{value}" }} }}' for key, value in parameters.items()]
    return "\n".join(
        [
            f'name: "{model.name}"',
            'backend: "onnxruntime"',
            "max_batch_size: 8",
            'input [ { name: "FRAMES_IN" data_type: TYPE_UINT8 dims: [ -1, -1, 3 ] } ]',
            'output [ { name: "FRAMES_OUT" data_type: TYPE_UINT8 dims: [ -1, -1, 3 ] } ]',
            "instance_group [ { count: 2 kind: KIND_AUTO } ]",
            *lines,
            "",
        ]
    )
