"""Builds a model, proves it, and only then puts it into the model repository."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import onnx

from exporters import parity
from exporters.config import config_text
from exporters.declaration import Model

CONFIG = "config.pbtxt"
GRAPH = "1/model.onnx"


class ExportFailed(Exception):
    """A model was not written; the message says why."""


def export(model: Model, repository: Path) -> parity.Parity:
    """Write the model's folder, replacing what was there.

    Raises ExportFailed, and leaves the repository as it was, when the graph is malformed or too
    far from its reference.
    """
    files = files_of(model)
    found = _prove(model, files[GRAPH])
    repository.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{model.name}.", dir=repository) as temporary:
        fresh = Path(temporary) / "new"
        for name, content in files.items():
            (fresh / name).parent.mkdir(parents=True, exist_ok=True)
            (fresh / name).write_bytes(content)
        _replace(fresh, repository / model.name, Path(temporary) / "old")
    return found


def files_of(model: Model) -> dict[str, bytes]:
    """Content by path of what belongs into the model's folder. Raises ExportFailed when the graph is malformed."""
    graph = model.build()
    try:
        onnx.checker.check_model(graph, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise ExportFailed(f"{model.name}: {error}") from error
    return {CONFIG: config_text(model).encode(), GRAPH: graph.SerializeToString(deterministic=True)}


def differences(model: Model, repository: Path) -> list[str]:
    """Paths in the repository that are not what an export would write, missing and surplus ones included."""
    folder = repository / model.name
    expected = files_of(model)
    present = {str(path.relative_to(folder)): path for path in folder.rglob("*") if path.is_file()}
    names = sorted(expected.keys() | present.keys())
    return [
        f"{model.name}/{name}"
        for name in names
        if name not in present or present[name].read_bytes() != expected.get(name)
    ]


def _prove(model: Model, graph: bytes) -> parity.Parity:
    try:
        found = parity.measure(model, graph)
    except ValueError as error:
        raise ExportFailed(str(error)) from error
    if not found.within(model.tolerance):
        raise ExportFailed(
            f"{model.name}: differs from its reference by up to {found.levels} levels,"
            f" {found.exact:.4%} equal; allowed: {model.tolerance.levels}, {model.tolerance.exact:.4%}"
        )
    return found


def _replace(fresh: Path, target: Path, old: Path) -> None:
    """Two renames: there is no moment with half a folder, and a failure puts the old one back."""
    had = target.exists()
    if had:
        target.rename(old)
    try:
        fresh.rename(target)
    except OSError:
        if had:
            old.rename(target)
        raise
    shutil.rmtree(old, ignore_errors=True)
