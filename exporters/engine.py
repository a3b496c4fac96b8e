"""Builds a model, proves it, and only then puts it into the model repository.

    declaration -> graph -> parity on ONNX Runtime -> folder beside the repository -> parity on Triton -> one rename

Whatever fails, and whoever interrupts it, the repository stays as it was.
"""

from __future__ import annotations

import ctypes
import errno
import hashlib
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError

from exporters import parity
from exporters.card import CARD, Card, card_text, facts, memory_of, read_card, versions, write_card
from exporters.config import Memory, config_files
from exporters.declaration import Model
from exporters.errors import ExportFailed, writing
from exporters.memory import measure_memory
from exporters.progress import Progress, silent
from exporters.serving import serve
from exporters.workshop import workshop_beside

GRAPH = "1/model.onnx"
_AT_FDCWD = -100
_RENAME_EXCHANGE = 2
_MEASURED = ("speed", "quality")


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """What an export found out."""

    model: Model
    onnxruntime: parity.Parity
    triton: parity.Parity
    card: Card


def export(model: Model, repository: Path, progress: Progress = silent, *, replace: bool = True) -> Exported:
    """Write the model's folder in one step; `replace`: also where there is one, or one has come meanwhile.

    Raises ExportFailed, and leaves the repository as it was, when the graph is malformed, too far from its
    reference on ONNX Runtime or on Triton, when Triton does not load it, or when the disk does not take it
    (FILE_UNWRITABLE).
    """
    with writing(f"{model.name} into {repository}"):
        return _export(model, repository, progress, replace=replace)


def _export(model: Model, repository: Path, progress: Progress, *, replace: bool) -> Exported:
    with progress.stage(f"{model.name}: graph"):
        graph = graph_of(model)
    with progress.stage(f"{model.name}: reference"):
        tried = list(parity.samples(model))
    with progress.stage(f"{model.name}: ONNX Runtime", len(tried)) as told:
        on_runtime = parity.compare(model, tried, parity.session(graph), told)
        parity.check(model, on_runtime, "ONNX Runtime")
    known = read_card(repository / model.name)
    with progress.stage(f"{model.name}: memory"):
        memory = _known_memory(known, graph) or measure_memory(model, graph)
    with workshop_beside(repository) as workshop:
        write_files(workshop / model.name, {**_texts(model, memory, _sha256(graph)), GRAPH: graph})
        with progress.stage(f"{model.name}: Triton", len(tried)) as told, serve(workshop, model.name) as served:
            on_triton = parity.compare(model, tried, lambda feeds: served.run(model.name, feeds), told)
            parity.check(model, on_triton, "Triton")
        card = write_card(model, graph, {"onnxruntime": on_runtime, "triton": on_triton}, memory)
        card |= _still_true(known, graph)
        write_files(workshop / model.name, {CARD: card_text(card).encode()})
        accept(workshop / model.name, repository / model.name, replace=replace)
    return Exported(model=model, onnxruntime=on_runtime, triton=on_triton, card=card)


def graph_of(model: Model) -> bytes:
    """The graph as it is written. Raises ExportFailed when it is malformed."""
    graph = model.recipe.graph(model)
    try:
        onnx.checker.check_model(graph, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError, DecodeError, ValueError) as error:
        raise ExportFailed(f"{model.name}: {error}") from error
    return graph.SerializeToString(deterministic=True)


def differences(model: Model, repository: Path) -> list[str]:
    """Paths in the repository that are not what an export would write, missing and surplus ones included.

    The graph is built anew where that gives the same bytes: with the versions it was made with. Otherwise it and its
    checkpoint are held against the hashes that were proven.
    """
    folder = repository / model.name
    card = read_card(folder)
    expected = _texts(model, memory_of(card), card.get("graph", {}).get("sha256", ""))
    present = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    wrong = {name for name in expected.keys() | {GRAPH, CARD} | present.keys() if name not in present}
    wrong |= present.keys() - expected.keys() - {GRAPH, CARD}
    wrong |= {name for name, content in expected.items() if present.get(name, content) != content}
    if any(card.get(name) != fact for name, fact in facts(model).items()) or card.get("name") != model.name:
        wrong.add(CARD)
    if _sha256(present.get(GRAPH, b"")) != card.get("graph", {}).get("sha256") or (
        _comparable(model, card) and graph_of(model) != present[GRAPH]
    ):
        wrong.add(GRAPH)
    return [f"{model.name}/{name}" for name in sorted(wrong)]


def write_files(folder: Path, files: dict[str, bytes]) -> None:
    """Write content by path below `folder`."""
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


def accept(fresh: Path, target: Path, *, replace: bool = True) -> None:
    """Put a folder where there is none, or in the place of another in one step, and remove the other.

    There is no moment with half a folder or none, and a failure leaves the old one. Raises ExportFailed when there is
    one that is not to be replaced, also when it has come this moment.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        fresh.rename(target)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST) and not target.is_symlink():
            raise
        if not replace:
            raise ExportFailed(f"somebody else has brought in a model {target.name} meanwhile") from error
        _exchange(fresh, target)
        shutil.rmtree(fresh, ignore_errors=True)


def _texts(model: Model, memory: Memory, graph_sha256: str) -> dict[str, bytes]:
    return {name: text.encode() for name, text in config_files(model, memory, graph_sha256=graph_sha256).items()}


def _known_memory(card: Card, graph: bytes) -> Memory | None:
    """What was measured for the very same graph: measuring again would only add noise."""
    if card.get("graph", {}).get("sha256") != _sha256(graph):
        return None
    memory = memory_of(card)
    return memory if memory.loaded else None


def _still_true(card: Card, graph: bytes) -> Card:
    if card.get("graph", {}).get("sha256") != _sha256(graph):
        return {}
    return {name: card[name] for name in _MEASURED if name in card}


def _comparable(model: Model, card: Card) -> bool:
    made_with = card.get("made_with", {})
    return model.recipe.reproducible and all(
        made_with.get(name) == version for name, version in versions().items() if name != "onnxruntime"
    )


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _exchange(one: Path, other: Path) -> None:
    """Swap two folders. Two renames where the file system cannot do it at once."""
    libc = ctypes.CDLL(None, use_errno=True)
    renameat2 = getattr(libc, "renameat2", None)
    if renameat2 and not renameat2(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE):
        return
    aside = one.with_name(f"{one.name}.old")
    other.rename(aside)
    try:
        one.rename(other)
    except OSError:
        aside.rename(other)
        raise
    aside.rename(one)
