"""A model's card: where it comes from, what proves it, what it was measured to do. `card.json` beside its config."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Mapping
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from exporters.config import Memory
from exporters.declaration import Model
from exporters.errors import ExportFailed, writing

if TYPE_CHECKING:  # a card can be read without
    from exporters.parity import Parity

CARD = "card.json"

Card = dict[str, Any]
"""The file's content. `quality` and `speed` are filled in by `verify` and `bench`."""


def write_card(model: Model, graph: bytes, proven: Mapping[str, Parity], memory: Memory) -> Card:
    """The card of a model that was proven at these places."""
    from exporters.parity import seeds, sizes

    return {
        "name": model.name,
        **facts(model),
        "graph": graph_facts(graph),
        "parity": {
            "tolerance": asdict(model.tolerance),
            "sizes": [list(size) for size in sizes(model)],
            "seeds": list(seeds(model)),
            **{where: asdict(found) for where, found in proven.items()},
        },
        "memory": asdict(memory),
        "made_with": versions(),
    }


def facts(model: Model) -> Card:
    """What follows from the declaration and its checkpoint alone."""
    checkpoint = model.recipe.checkpoint
    return {
        "description": model.description,
        "kind": str(model.kind),
        "scale": model.scale,
        "license": model.license,
        "source": model.source,
        "architecture": model.recipe.architecture,
        "precision": str(model.precision),
        "checkpoint": None if checkpoint is None else file_facts(checkpoint),
    }


def file_facts(path: Path) -> Card:
    """Name, size and hash of a file. Raises ExportFailed when it cannot be read."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ExportFailed(f"{path} cannot be read: {error.strerror}") from error
    return {"file": path.name, "bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def graph_facts(graph: bytes) -> Card:
    """Size and hash of a graph, how many weights it has, and its opset."""
    import onnx

    model = onnx.load_from_string(graph)
    weights = 0
    for tensor in model.graph.initializer:
        count = 1
        for extent in tensor.dims:
            count *= extent
        weights += count
    return {
        "bytes": len(graph),
        "sha256": hashlib.sha256(graph).hexdigest(),
        "weights": weights,
        "opset": max(opset.version for opset in model.opset_import if not opset.domain),
    }


def versions() -> dict[str, str]:
    """What graphs depend on."""
    return {name: metadata.version(name) for name in ("torch", "onnx", "onnxruntime")}


def card_text(card: Card) -> str:
    """The file's text."""
    return json.dumps(card, indent=2, ensure_ascii=False) + "\n"


def read_card(folder: Path) -> Card:
    """The card of the model in this folder; empty when there is none that can be read."""
    try:
        card = json.loads((folder / CARD).read_text())
    except (OSError, ValueError):
        return {}
    return card if _is_card(card) else {}


def _is_card(card: object) -> bool:
    """Whether what others rely on has the types they rely on."""
    if not isinstance(card, dict):
        return False
    graph, memory = card.get("graph", {}), card.get("memory", {})
    parts = (graph, memory, card.get("made_with", {}))
    numbers = (graph.get("weights", 0), *memory.values()) if all(isinstance(part, dict) for part in parts) else ("",)
    return all(isinstance(number, int) for number in numbers)


def save_card(folder: Path, card: Card) -> None:
    """Write the card in one step: whoever reads it sees the old one or the new one. Raises ExportFailed."""
    with writing(f"{folder.name}: its {CARD}"), tempfile.TemporaryDirectory(prefix=".card-", dir=folder) as beside:
        fresh = Path(beside) / CARD
        fresh.write_text(card_text(card))
        fresh.replace(folder / CARD)


def memory_of(card: Card) -> Memory:
    """What the card says the model needs."""
    known = card.get("memory")
    if not isinstance(known, dict):
        return Memory()
    return Memory(loaded=int(known.get("loaded", 0)), per_pixel=int(known.get("per_pixel", 0)))
