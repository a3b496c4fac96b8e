"""Bicubic interpolation as weights of a convolution over blocks of pixels: what every network here starts as."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

REACH = 2
"""Pixels a filter looks at on each side."""
_A = -0.75


def taps(scale: int) -> NDArray[np.float64]:
    """Weights `[phase, pixel]` of pixels i - 2 to i + 2 for output pixel `scale * i + phase`; scale 1 is identity."""
    offsets = np.arange(-REACH, REACH + 1)
    centres = (np.arange(scale) + 0.5) / scale - 0.5
    return np.array([[_cubic(abs(offset - centre)) for offset in offsets] for centre in centres])


def block_weights(scale: int, block: int = 2) -> NDArray[np.float32]:
    """Weights `[(y, x, colour) of the output block, (y, x, colour) of the input block, 3, 3]` of a convolution.

    It takes pictures cut into blocks of `block` pixels a side, channels in the order row, column, colour, and gives
    blocks of `block * scale` pixels. It is the same interpolation as torch's `bicubic` without aligned corners.
    """
    line = _line(scale, block)
    plane = np.einsum("ai,bj->abij", line, line)
    side = block * scale
    weights = np.zeros((side, side, 3, 3, block, 3, block, 3), np.float64)
    for colour in range(3):
        weights[:, :, colour, ..., colour] = plane.reshape(side, side, 3, block, 3, block)
    ordered = weights.transpose(0, 1, 2, 4, 6, 7, 3, 5)
    return np.ascontiguousarray(ordered.reshape(side * side * 3, block * block * 3, 3, 3), np.float32)


def _line(scale: int, block: int) -> NDArray[np.float64]:
    """Weights `[output pixel of a block, input pixel of three blocks in a row]`."""
    weights = np.zeros((block * scale, 3 * block))
    for place in range(block * scale):
        pixel, phase = divmod(place, scale)
        first = block + pixel - REACH
        weights[place, first : first + 2 * REACH + 1] = taps(scale)[phase]
    return weights


def _cubic(x: float) -> float:
    if x <= 1:
        return ((_A + 2) * x - (_A + 3)) * x * x + 1
    return ((_A * x - 5 * _A) * x + 8 * _A) * x - 4 * _A if x < 2 else 0.0
