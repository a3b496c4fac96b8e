"""Bringing in a model from elsewhere: the same engine, the same proof as for the built-in ones."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from exporters.engine import Exported, export
from exporters.errors import ExportFailed
from exporters.labels import NAME, Labels
from exporters.onnx_file import read_onnx
from exporters.progress import Progress, silent
from exporters.recognise import recognise


def bring_in(
    file: Path,
    labels: Labels,
    repository: Path,
    *,
    replace: bool = False,
    taken: Sequence[Path] = (),
    progress: Progress = silent,
) -> Exported:
    """Recognise a file, export it into `repository`, and say what was found.

    Raises ExportFailed, and changes nothing, when the file is missing, broken, refused or not recognised, when the
    model is not the same after export, or when its name is taken: by a model of one of the repositories
    `taken`, or, without `replace`, of this one.
    """
    if not NAME.fullmatch(labels.name):
        raise ExportFailed(f"{labels.name!r} is no name for a model: small letters, digits, _, . and -, 64 at most")
    for other in taken:
        if (other / labels.name).exists():
            raise ExportFailed(f"there is a built-in model {labels.name}; choose another name with --name")
    if (repository / labels.name).exists() and not replace:
        raise ExportFailed(f"there is a model {labels.name} already; replace it with --replace, or choose another name")
    with progress.stage(f"{labels.name}: reading {file.name}"):
        model = read_onnx(file, labels) if file.suffix.lower() == ".onnx" else recognise(file, labels)
    return export(model, repository, progress, replace=replace)
