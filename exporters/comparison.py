"""A film made worse, brought back, and measured beside bicubic interpolation: what a model is worth."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path

import av
import numpy as np
from av.video.reformatter import Interpolation

from exporters.card import Card
from exporters.declaration import Frames
from exporters.errors import ExportFailed
from exporters.quality import Quality, luma_psnr, measure, psnr
from exporters.train import held_out
from exporters.train.clips import frames_of
from exporters.train.degrade import Degradation, apply
from framewire.errors import ErrorCode

CRF = 16
"""H.264's constant rate factor of what is enhanced, unless another is asked for."""
Enhancer = Callable[[Frames], Frames]
"""A whole clip, `[time, height, width, 3]`, to its enhanced frames."""

_NOISE = 6.0
_DRAWN = (384, 640)
_LEAST_SIDE = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """What would be gained if all that scaling down took were brought back, and the encoder's error stayed as it is.

    Who undoes some of that error, too, can gain more.
    """

    gain: float
    """Decibels over bicubic."""
    luma_gain: float
    """Decibels over bicubic, of luma alone."""


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
    limit: Limit

    @property
    def gain(self) -> float:
        """Decibels."""
        return self.after.psnr - self.before.psnr

    @property
    def luma_gain(self) -> float:
        """Decibels, of luma alone."""
        return self.after.luma_psnr - self.before.luma_psnr

    def record(self) -> Card:
        """The numbers, for the card."""
        return {
            "clip": self.clip,
            "frames": len(self.truth),
            "bicubic": asdict(self.before),
            "model": asdict(self.after),
            "limit": asdict(self.limit),
        }


def degradation(scale: int, crf: int = CRF) -> Degradation:
    """What a clip goes through: smaller by the scale, compressed; at scale 1 visible noise instead of less pixels."""
    return Degradation(scale=scale, kernel=Interpolation.BICUBIC, noise=_NOISE if scale == 1 else 0.0, crf=crf)


def compare(name: str, truth: Frames, how: Degradation, enhance: Enhancer) -> Compared:
    """Degrade, enhance, measure."""
    degraded = apply(truth, how)
    bicubic, enhanced = larger(degraded, how.scale), enhance(degraded)
    before = measure(truth, bicubic)
    return Compared(
        clip=name, truth=truth, degraded=degraded, bicubic=bicubic, enhanced=enhanced,
        before=before, after=measure(truth, enhanced), limit=_limit(truth, how, bicubic, before),
    )  # fmt: skip


def _limit(truth: Frames, how: Degradation, bicubic: Frames, before: Quality) -> Limit:
    """The encoder's error is what it changes in bicubic's result."""
    unharmed = larger(apply(truth, replace(how, crf=None, noise=0.0)), how.scale)
    return Limit(
        gain=max(0.0, psnr(unharmed, bicubic) - before.psnr),
        luma_gain=max(0.0, luma_psnr(unharmed, bicubic) - before.luma_psnr),
    )


def scenes(length: int) -> Iterator[tuple[str, Frames]]:
    """Drawn scenes by name, of the kinds no network is trained on."""
    yield from ((name, scene(*_DRAWN, length)) for name, scene in held_out.SCENES.items())


def films(clips: Sequence[Path], length: int, scale: int) -> Iterator[tuple[str, Frames]]:
    """The first frames of clips by name; sides are cut to what can be divided by the scale, and compressed.

    Raises ExportFailed: MEDIA_UNREADABLE for a file that is no clip, INVALID_ARGUMENT for one that is too small.
    """
    multiple = 2 * scale
    for clip in clips:
        try:
            frames = np.stack(list(islice(frames_of(clip), length)))
        except (av.FFmpegError, OSError, ValueError, IndexError) as error:
            raise ExportFailed(f"{clip} cannot be read as video: {error}", code=ErrorCode.MEDIA_UNREADABLE) from error
        height, width = (side // multiple * multiple for side in frames.shape[1:3])
        if min(height, width) < _LEAST_SIDE * scale:
            raise ExportFailed(f"{clip} is too small: {width}x{height}", code=ErrorCode.INVALID_ARGUMENT)
        yield clip.stem, frames[:, :height, :width]


def larger(frames: Frames, scale: int) -> Frames:
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
