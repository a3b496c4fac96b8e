"""Optical flow by pyramidal Lucas-Kanade, in NumPy: enough to follow what moves between two frames of a film."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Plane = NDArray[np.float32]
"""One value a pixel: `[height, width]`."""
_LEVELS = 4
_ROUNDS = 4
_WINDOW = 7
_SMALLEST = 24
_STEADY = 4.0  # added to the gradients' squares: where there is nothing to hold on to, nothing moves


def flow(before: Plane, after: Plane) -> Plane:
    """For each pixel of `after`, rows and columns to its place in `before`: `[2, height, width]`."""
    pyramid = [(before.astype(np.float32), after.astype(np.float32))]
    while len(pyramid) < _LEVELS and min(pyramid[-1][0].shape) >= 2 * _SMALLEST:
        pyramid.append((_halved(pyramid[-1][0]), _halved(pyramid[-1][1])))
    found = np.zeros((2, *pyramid[-1][0].shape), np.float32)
    for old, new in reversed(pyramid):
        found = _refined(old, new, _resized(found, new.shape))
    return found


def warped(values: NDArray[np.float32], moved: Plane) -> NDArray[np.float32]:
    """`values` `[height, width, ...]` fetched from where `moved` points, by linear interpolation, edges repeated."""
    height, width = values.shape[:2]
    rows = np.clip(np.arange(height, dtype=np.float32)[:, None] + moved[0], 0, height - 1)
    columns = np.clip(np.arange(width, dtype=np.float32)[None] + moved[1], 0, width - 1)
    top, left = rows.astype(np.intp), columns.astype(np.intp)
    bottom, right = np.minimum(top + 1, height - 1), np.minimum(left + 1, width - 1)
    extra = (1,) * (values.ndim - 2)
    down, across = ((part - whole).reshape(height, width, *extra) for part, whole in ((rows, top), (columns, left)))
    upper = values[top, left] * (1 - across) + values[top, right] * across
    lower = values[bottom, left] * (1 - across) + values[bottom, right] * across
    result: NDArray[np.float32] = (upper * (1 - down) + lower * down).astype(np.float32)
    return result


def inside(moved: Plane) -> NDArray[np.bool_]:
    """Where `moved` points into the picture."""
    height, width = moved.shape[1:]
    rows, columns = np.arange(height)[:, None] + moved[0], np.arange(width)[None] + moved[1]
    result: NDArray[np.bool_] = (rows >= 0) & (rows <= height - 1) & (columns >= 0) & (columns <= width - 1)
    return result


def _refined(before: Plane, after: Plane, guess: Plane) -> Plane:
    down, across = (np.asarray(slope, np.float32) for slope in np.gradient(after))
    vertical, horizontal, mixed = (
        _summed(down * down) + _STEADY,
        _summed(across * across) + _STEADY,
        _summed(down * across),
    )
    determinant = vertical * horizontal - mixed**2
    for _ in range(_ROUNDS):
        change = warped(before, guess) - after
        y, x = _summed(down * change), _summed(across * change)
        step = np.stack([horizontal * y - mixed * x, vertical * x - mixed * y]) / determinant
        guess = guess - np.clip(step, -1, 1)
    return guess


def _halved(plane: Plane) -> Plane:
    height, width = (side // 2 * 2 for side in plane.shape)
    cut = plane[:height, :width].reshape(height // 2, 2, width // 2, 2)
    half: Plane = cut.mean(axis=(1, 3), dtype=np.float32)
    return half


def _resized(moved: Plane, shape: tuple[int, ...]) -> Plane:
    if moved.shape[1:] == shape:
        return moved
    doubled = 2 * moved.repeat(2, 1).repeat(2, 2)
    missing = [(0, 0)] + [(0, wanted - had) for wanted, had in zip(shape, doubled.shape[1:], strict=True)]
    return np.pad(doubled, missing, mode="edge")


def _summed(plane: Plane) -> Plane:
    """The mean over a window around each pixel."""
    reach = _WINDOW // 2
    for axis in (0, 1):
        margin = [(reach + 1, reach) if index == axis else (0, 0) for index in (0, 1)]
        sums = np.cumsum(np.pad(plane, margin, mode="edge"), axis=axis, dtype=np.float64)
        size = plane.shape[axis]
        upper = sums.take(range(_WINDOW, size + _WINDOW), axis=axis)
        plane = ((upper - sums.take(range(size), axis=axis)) / _WINDOW).astype(np.float32)
    return plane
