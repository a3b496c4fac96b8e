"""How near frames are to the truth: PSNR, SSIM, and how much they flicker.

Frames are uint8 RGB, `[time, height, width, 3]`; both sides have the same shape.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exporters import motion
from exporters.declaration import Frames

Luma = NDArray[np.floating[Any]]
"""One value a pixel: `[height, width]`."""
BEST = 100.0
"""What PSNR gives for equal frames, in decibels: the true value has no end."""
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)
_GAUSSIAN = np.exp(-0.5 * (np.arange(-5, 6) / 1.5) ** 2)
_GAUSSIAN = _GAUSSIAN / _GAUSSIAN.sum()
_C1, _C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
_FOLLOWED = (
    8.0  # grey levels: where the truth itself differs by more, the motion was not followed or something was hidden
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Quality:
    """Frames beside the truth."""

    psnr: float
    """Over red, green and blue, in decibels; more is better."""
    luma_psnr: float
    """Over luma alone, as papers on super-resolution give it, in decibels; more is better."""
    ssim: float
    """-1 to 1; more is better."""
    warp_error: float
    """Change along the motion, in grey levels; less is steadier. The truth has one too."""
    flicker: float
    """Change of the error along the motion, in grey levels: what was not in the truth; less is better."""


def measure(truth: Frames, result: Frames) -> Quality:
    """All of it."""
    warp_error, flicker = unsteadiness(truth, result)
    return Quality(
        psnr=psnr(truth, result), luma_psnr=luma_psnr(truth, result), ssim=ssim(truth, result),
        warp_error=warp_error, flicker=flicker,
    )  # fmt: skip


def psnr(truth: Frames, result: Frames) -> float:
    """Peak signal-to-noise ratio over all values of all frames, in decibels; BEST at most."""
    return _decibels([_squared(a.astype(np.float32) - b) for a, b in _pairs(truth, result)])


def luma_psnr(truth: Frames, result: Frames) -> float:
    """As `psnr`, of luma: chroma is coded at half the resolution, and little of it can be brought back."""
    return _decibels([_squared(_luma(a) - _luma(b)) for a, b in _pairs(truth, result)])


def ssim(truth: Frames, result: Frames) -> float:
    """Structural similarity of luma, Gaussian window of 11 pixels and sigma 1.5, averaged over the frames.

    Frames are at least 11 pixels high and wide.
    """
    return float(np.mean([_ssim(_luma(a), _luma(b)) for a, b in _pairs(truth, result)]))


def unsteadiness(truth: Frames, result: Frames) -> tuple[float, float]:
    """Warping error and flicker, as in Quality, of at least two frames; both 0 when no motion could be followed.

    The motion is the truth's. Counted is where the truth, moved along, is itself again within 8 levels.
    """
    change, own, count = 0.0, 0.0, 0
    for number in range(1, len(truth)):
        moved = _motion(truth[number - 1], truth[number])
        expected = truth[number] - motion.warped(truth[number - 1].astype(np.float32), moved)
        found = result[number] - motion.warped(result[number - 1].astype(np.float32), moved)
        followed = (np.abs(expected).max(-1) <= _FOLLOWED) & motion.inside(moved)
        change += float(np.square(found[followed]).sum(dtype=np.float64))
        own += float(np.square((found - expected)[followed]).sum(dtype=np.float64))
        count += 3 * int(followed.sum())
    return (math.sqrt(change / count), math.sqrt(own / count)) if count else (0.0, 0.0)


def _motion(before: NDArray[np.uint8], after: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Found at half the size, which is a quarter of the work."""
    height, width = (side // 2 * 2 for side in before.shape[:2])
    halves = [
        _luma(frame)[:height, :width].reshape(height // 2, 2, width // 2, 2).mean((1, 3)) for frame in (before, after)
    ]
    moved = 2 * motion.flow(*halves).repeat(2, 1).repeat(2, 2)
    missing = [(0, 0)] + [(0, side - even) for side, even in zip(before.shape[:2], (height, width), strict=True)]
    return np.pad(moved, missing, mode="edge")


def _pairs(truth: Frames, result: Frames) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.uint8]]]:
    if truth.shape != result.shape:
        raise ValueError(f"{result.shape} cannot be compared with {truth.shape}")
    return zip(truth, result, strict=True)


def _luma(frame: NDArray[np.uint8]) -> NDArray[np.float32]:
    luma: NDArray[np.float32] = frame.astype(np.float32) @ _LUMA
    return luma


def _squared(difference: NDArray[np.float32]) -> float:
    return float(np.square(difference).mean(dtype=np.float64))


def _decibels(errors: list[float]) -> float:
    error = float(np.mean(errors))
    return BEST if error == 0 else min(BEST, 10 * math.log10(255**2 / error))


def _ssim(a: Luma, b: Luma) -> float:
    # in double precision: the spread of a flat picture is a small difference of large squares
    a, b = a.astype(np.float64), b.astype(np.float64)
    mean_a, mean_b = _smoothed(a), _smoothed(b)
    spread_a, spread_b = _smoothed(a * a) - mean_a**2, _smoothed(b * b) - mean_b**2
    common = _smoothed(a * b) - mean_a * mean_b
    likeness = (2 * mean_a * mean_b + _C1) * (2 * common + _C2)
    return float((likeness / ((mean_a**2 + mean_b**2 + _C1) * (spread_a + spread_b + _C2))).mean())


def _smoothed(plane: Luma) -> Luma:
    """Only where the whole window lies inside."""
    height, width = (side - len(_GAUSSIAN) + 1 for side in plane.shape)
    lines = sum((w * plane[at : at + height] for at, w in enumerate(_GAUSSIAN)), start=np.zeros(()))
    smooth = sum((w * lines[:, at : at + width] for at, w in enumerate(_GAUSSIAN)), start=np.zeros(()))
    return np.asarray(smooth)
