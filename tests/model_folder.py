"""Small models for tests, as folders of a model repository."""

from __future__ import annotations

from pathlib import Path

import onnx
from onnx import helper


def write_model(repository: Path, config: str, graph: onnx.GraphProto) -> None:
    """Put a model into a repository, by its graph's name."""
    folder = repository / graph.name
    (folder / "1").mkdir(parents=True)
    (folder / "config.pbtxt").write_text(config)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    onnx.save(model, folder / "1" / "model.onnx")
