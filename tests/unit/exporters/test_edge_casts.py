"""Graphs for TensorRT: bytes into a cast and out of a cast, the same result."""

from __future__ import annotations

from pathlib import Path

import checkpoints
import numpy as np
import onnx
import pytest
from onnx import TensorProto, parser

from exporters.declaration import INPUT, OUTPUT, Model, Precision
from exporters.edge_casts import casts_at_edges
from exporters.engine import graph_of
from exporters.labels import Labels
from exporters.models import MODELS
from exporters.parity import session
from exporters.recognise import recognise

IN_FLOATS = [model for model in MODELS if model.precision is not Precision.INT8]


def assert_bytes_at_the_edges_alone(graph: onnx.GraphProto) -> None:
    types = {value.name: value.type.tensor_type.elem_type for value in (*graph.input, *graph.value_info, *graph.output)}
    of_bytes = {name for name, kind in types.items() if kind == TensorProto.UINT8}
    assert of_bytes == {value.name for value in (*graph.input, *graph.output)} & of_bytes
    assert {INPUT, OUTPUT} <= of_bytes
    for node in graph.node:
        if of_bytes & {*node.input, *node.output}:
            assert node.op_type == "Cast"


def assert_fit_for_tensorrt(model: Model) -> None:
    before = graph_of(model)
    after = casts_at_edges(before)
    graph = onnx.load_from_string(after)
    onnx.checker.check_model(graph, full_check=True)
    assert_bytes_at_the_edges_alone(onnx.shape_inference.infer_shapes(graph, strict_mode=True).graph)
    frames = np.random.default_rng(0).integers(0, 256, (model.max_batch, *model.fitting(18, 22), 3), dtype=np.uint8)
    expected, found = session(before)(model.feeds(frames)), session(after)(model.feeds(frames))
    for name, array in expected.items():
        np.testing.assert_array_equal(array, found[name])


@pytest.mark.parametrize("model", IN_FLOATS, ids=[model.name for model in IN_FLOATS])
def test_a_built_in_model_has_bytes_at_its_edges_alone(model: Model) -> None:
    assert_fit_for_tensorrt(model)


def test_a_community_network_that_shuffles_bytes_has_them_at_its_edges_alone(tmp_path: Path) -> None:
    labels = Labels(name="mine", license="MIT", source="a test")
    assert_fit_for_tensorrt(recognise(checkpoints.compact(tmp_path), labels))


@pytest.mark.parametrize(
    "body",
    [
        f"few = Cast <to = 2> (x) some = Max (few, few) {OUTPUT} = Identity (some)",
        f"few = Cast <to = 2> (x) more = Cast <to = 1> (few) {OUTPUT} = Identity (few) SEEN = Identity (more)",
    ],
    ids=["computed as bytes", "whole numbers wanted elsewhere, too"],
)
def test_an_output_that_is_more_than_moved_keeps_its_bytes(body: str) -> None:
    seen = ", float[n] SEEN" if "SEEN" in body else ""
    text = f'<ir_version: 8, opset_import: ["": 18]> g (float[n] x) => (uint8[n] {OUTPUT}{seen}) {{ {body} }}'
    model = parser.parse_model(text)
    after = casts_at_edges(model.SerializeToString())
    assert onnx.load_from_string(after).graph.node == model.graph.node
