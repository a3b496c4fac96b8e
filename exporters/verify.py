"""What a model of a repository is worth: the same everywhere, and how much better than bicubic on clips."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path

import av
import numpy as np
from av.video.reformatter import Interpolation

from exporters import parity
from exporters.card import CARD, Card, card_text, graph_facts
from exporters.declaration import Frames, Kind, Model, Reference, Tensors
from exporters.engine import GRAPH
from exporters.errors import ExportFailed
from exporters.film import enhance
from exporters.folder import read_folder
from exporters.models import MODELS
from exporters.progress import Progress, silent
from exporters.quality import Quality, measure
from exporters.serving import serve
from exporters.train import held_out
from exporters.train.clips import frames_of
from exporters.train.degrade import Degradation, apply

CRF = 16
_NOISE = 6.0
_DRAWN = (384, 640)
_LEAST_SIDE = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """One clip: the truth, what was made of it, and what came back."""

    clip: str
    truth: Frames
    degraded: Frames
    bicubic: Frames
    enhanced: Frames
    before: Quality
    """Of `bicubic`; for a model that leaves the size, of the degraded clip itself."""
    after: Quality
    """Of `enhanced`."""

    @property
    def gain(self) -> float:
        """Decibels."""
        return self.after.psnr - self.before.psnr

    def record(self) -> Card:
        """The numbers, for the card."""
        return {
            "clip": self.clip,
            "frames": len(self.truth),
            "bicubic": asdict(self.before),
            "model": asdict(self.after),
        }


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
    (folder / CARD).write_text(card_text(card))


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
    how = Degradation(
        scale=model.scale, kernel=Interpolation.BICUBIC, noise=_NOISE if model.scale == 1 else 0.0, crf=crf
    )
    for name, truth in _truths(model, clips, frames):
        with progress.stage(f"{model.name}: {name}"):
            degraded = apply(truth, how)
            bicubic = _larger(degraded, model.scale)
            enhanced = enhance(model, run, degraded)
            yield Compared(
                clip=name, truth=truth, degraded=degraded, bicubic=bicubic, enhanced=enhanced,
                before=measure(truth, bicubic), after=measure(truth, enhanced),
            )  # fmt: skip


def _truths(model: Model, clips: Sequence[Path], length: int) -> Iterator[tuple[str, Frames]]:
    """Clips or drawn scenes by name; sides are cut to what can be divided by the scale, and compressed."""
    multiple = 2 * model.scale
    if not clips:
        yield from ((name, scene(*_DRAWN, length)) for name, scene in held_out.SCENES.items())
    for clip in clips:
        try:
            frames = np.stack(list(islice(frames_of(clip), length)))
        except (av.FFmpegError, OSError, ValueError, IndexError) as error:
            raise ExportFailed(f"{clip} cannot be read as video: {error}") from error
        height, width = (side // multiple * multiple for side in frames.shape[1:3])
        if min(height, width) < _LEAST_SIDE * model.scale:
            raise ExportFailed(f"{clip} is too small: {width}x{height}")
        yield clip.stem, frames[:, :height, :width]


def _larger(frames: Frames, scale: int) -> Frames:
    """By bicubic interpolation, as torch does it."""
    if scale == 1:
        return frames
    import torch

    results = []
    for frame in frames:
        pixels = torch.from_numpy(frame.transpose(2, 0, 1)[None]).float()
        large = torch.nn.functional.interpolate(pixels, scale_factor=scale, mode="bicubic", align_corners=False)
        results.append(large[0].clamp(0, 255).round().byte().numpy().transpose(1, 2, 0))
    return np.stack(results)
