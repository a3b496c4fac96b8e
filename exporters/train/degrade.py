"""What happens to a film before it is enhanced: blur, scaling down, noise, compression. Drawn from a seed."""

from __future__ import annotations

from dataclasses import dataclass

import av
import numpy as np
from av.video.reformatter import Interpolation
from numpy.typing import NDArray

from exporters.declaration import Frames
from exporters.train.codec import h264, pixels

_KERNELS = (
    (Interpolation.AREA, 0.3),
    (Interpolation.BICUBIC, 0.35),
    (Interpolation.BILINEAR, 0.2),
    (Interpolation.LANCZOS, 0.15),
)
_PRESETS = ("veryfast", "medium", "medium")


@dataclass(frozen=True, slots=True, kw_only=True)
class Severity:
    """How bad it gets: ranges that degradations are drawn from."""

    blur: float
    """Part of the clips that are blurred."""
    noise: float
    """Part of the clips that get noise."""
    most_noise: float
    """Largest standard deviation of noise, in grey levels."""
    crf: tuple[int, int]
    """Least and most compression by H.264."""
    raw: float = 0.08
    """Part of the clips that are not compressed."""


UPSCALING = Severity(blur=0.12, noise=0.1, most_noise=3.0, crf=(12, 26))
"""Clips as they come from a camera or a download: enhance_x2 and its relatives."""
CLEANING = Severity(blur=0.0, noise=0.7, most_noise=14.0, crf=(16, 36))
"""Clips with visible noise and traces of compression: denoise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Degradation:
    """One way a film is made worse."""

    scale: int
    """Its size is divided by this; 1 leaves it."""
    kernel: Interpolation
    """How it is scaled down."""
    blur: float = 0.0
    """Standard deviation of a Gaussian before scaling, in pixels; neutral value: 0."""
    noise: float = 0.0
    """Standard deviation of noise after scaling, in grey levels; neutral value: 0."""
    crf: int | None = None
    """H.264's constant rate factor; None: not compressed."""
    preset: str = "medium"
    """libx264's preset."""
    plain: bool = False
    """Whether colours are converted as FFmpeg does by default, instead of as jobs do."""
    seed: int = 0
    """What the noise is drawn from."""


def draw(rng: np.random.Generator, scale: int, severity: Severity) -> Degradation:
    """A degradation at random; the same generator state gives the same one."""
    weights = [weight for _, weight in _KERNELS]
    least, most = severity.crf
    return Degradation(
        scale=scale,
        kernel=_KERNELS[rng.choice(len(_KERNELS), p=weights)][0],
        blur=float(rng.uniform(0.3, 0.9)) if rng.random() < severity.blur else 0.0,
        noise=float(rng.uniform(0.5, severity.most_noise)) if rng.random() < severity.noise else 0.0,
        crf=None if rng.random() < severity.raw else int(rng.integers(least, most + 1)),
        preset=str(rng.choice(_PRESETS)),
        plain=bool(rng.random() < 0.3),
        seed=int(rng.integers(2**31)),
    )


def apply(frames: Frames, how: Degradation) -> Frames:
    """The frames `[time, height, width, 3]`, made worse; height and width divided by `how.scale` must be even."""
    worse = _blurred(frames, how.blur) if how.blur else frames
    worse = scaled_down(worse, how.scale, how.kernel)
    worse = _noisy(worse, how.noise, how.seed) if how.noise else worse
    return worse if how.crf is None else h264(worse, crf=how.crf, preset=how.preset, plain=how.plain)


def scaled_down(frames: Frames, scale: int, kernel: Interpolation) -> Frames:
    """The frames at a part of their size, by FFmpeg's scaler in RGB."""
    if scale == 1:
        return frames
    height, width = frames.shape[1] // scale, frames.shape[2] // scale
    return resized(frames, height, width, kernel)


def resized(frames: Frames, height: int, width: int, kernel: Interpolation) -> Frames:
    """The frames at another size."""
    return np.stack([_resized(frame, height, width, kernel) for frame in frames])


def _resized(frame: NDArray[np.uint8], height: int, width: int, kernel: Interpolation) -> NDArray[np.uint8]:
    picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
    return pixels(picture.reformat(width=width, height=height, format="rgb24", interpolation=kernel))


def _blurred(frames: Frames, sigma: float) -> Frames:
    radius = max(1, round(3 * sigma))
    line = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    line = (line / line.sum()).astype(np.float32)
    result = frames.astype(np.float32)
    for axis in (1, 2):
        margin = [(radius, radius) if index == axis else (0, 0) for index in range(4)]
        padded = np.pad(result, margin, mode="edge")
        size = frames.shape[axis]
        result = sum(
            (weight * padded.take(range(at, at + size), axis=axis) for at, weight in enumerate(line)),
            start=np.zeros_like(result),
        )
    return _levels(result)


def _noisy(frames: Frames, sigma: float, seed: int) -> Frames:
    noise = np.random.default_rng(seed).standard_normal(frames.shape, np.float32)
    return _levels(frames + sigma * noise)


def _levels(values: NDArray[np.float32]) -> Frames:
    return values.round().clip(0, 255).astype(np.uint8)
