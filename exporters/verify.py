"""What a model of a repository is worth: the same everywhere, and how much better than bicubic on clips."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from exporters import parity
from exporters.card import graph_facts, save_card
from exporters.comparison import CRF, Compared, compare, degradation, films, scenes
from exporters.declaration import Kind, Model, Reference, Tensors
from exporters.engine import GRAPH
from exporters.errors import ExportFailed
from exporters.film import enhance
from exporters.folder import read_folder
from exporters.models import MODELS
from exporters.progress import Progress, silent
from exporters.serving import serve


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """What a verification found out."""

    model: Model
    parity: parity.Parity
    reference: str
    """What it was held against."""
    clips: tuple[Compared, ...]


def verify(
    folder: Path, clips: Sequence[Path], *, frames: int = 24, crf: int = CRF, progress: Progress = silent
) -> Verified:
    """Hold the model against its reference on a Triton started for it, then measure it on clips it enhances there.

    Without clips, drawn scenes are used. The clips are made smaller by the model's scale and compressed by H.264 at
    `crf`; for a model that leaves the size they get visible noise instead. Raises ExportFailed when the folder is no
    model, when its graph is not the one that was accepted, or when it does not compute what it must.
    """
    model, card = read_folder(folder)
    graph = (folder / GRAPH).read_bytes()
    if card and graph_facts(graph)["sha256"] != card.get("graph", {}).get("sha256"):
        raise ExportFailed(f"{model.name}: its graph is not the one its card says was proven")
    reference, where = _reference(model)
    with progress.stage(f"{model.name}: {where}"):
        tried = list(parity.samples(model, reference))
    with serve(folder.parent, model.name) as served:

        def run(feeds: Tensors) -> Tensors:
            return served.run(model.name, feeds)

        with progress.stage(f"{model.name}: Triton", len(tried)) as told:
            found = parity.compare(model, tried, run, told)
            parity.check(model, found, "Triton")
        compared = tuple(_compare(model, run, clips, frames, crf, progress))
    return Verified(model=model, parity=found, reference=where, clips=compared)


def write_quality(folder: Path, verified: Verified, crf: int) -> None:
    """Put the numbers into the model's card."""
    _, card = read_folder(folder)
    card["quality"] = {"crf": crf, "clips": [clip.record() for clip in verified.clips]}
    save_card(folder, card)


def _reference(model: Model) -> tuple[Reference, str]:
    """What it must compute: what was declared, or, of a model from elsewhere, its proven graph on ONNX Runtime."""
    for declared in MODELS:
        if declared.name == model.name:
            return declared.recipe.reference(declared), declared.recipe.architecture
    return model.recipe.reference(model), "its graph on ONNX Runtime"


def _compare(
    model: Model, run: Reference, clips: Sequence[Path], frames: int, crf: int, progress: Progress
) -> Iterator[Compared]:
    if model.kind is Kind.INPAINT or model.fixed_size:
        return  # what belongs into a hole, or a face of another picture, no truth tells
    how = degradation(model.scale, crf)
    for name, truth in films(clips, frames, model.scale) if clips else scenes(frames):
        with progress.stage(f"{model.name}: {name}"):
            yield compare(name, truth, how, partial(enhance, model, run))
