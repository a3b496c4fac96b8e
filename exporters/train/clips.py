"""Crops of a folder's clips, a few frames long: decoded once, front to back, so that memory stays bounded."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import av
import numpy as np
from av.video.reformatter import Interpolation
from numpy.typing import NDArray

from exporters.declaration import Frames
from exporters.train.codec import pixels
from exporters.train.degrade import resized

SUFFIXES = frozenset({".mp4", ".mkv", ".mov", ".webm", ".avi", ".m4v", ".mpg", ".ts", ".y4m"})
_CANDIDATES = 3


def clips_in(folder: Path, skip: frozenset[str] = frozenset()) -> list[Path]:
    """The folder's clips by name, without those whose name or stem is in `skip`."""
    found = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)
    return [path for path in found if path.name not in skip and path.stem not in skip]


def frames_of(clip: Path) -> Iterator[NDArray[np.uint8]]:
    """Its frames, RGB `[height, width, 3]`."""
    with av.open(str(clip)) as container:
        container.streams.video[0].thread_count = 1
        for frame in container.decode(video=0):
            yield pixels(frame)


def crops_of(clip: Path, *, side: int, length: int, count: int, seed: int) -> Iterator[Frames]:
    """About `count` crops `[length, side, side, 3]`, spread evenly over the clip, at sizes 1/2 to 1 of the clip's own.

    Crops with more in them are preferred: most of a film is wall.
    """
    rng = np.random.default_rng(seed)
    each, due = count / max(1, _windows(clip, length)), 0.0
    for window in _windowed(frames_of(clip), length):
        due += each
        while due >= 1:
            due -= 1
            yield _crop(window, side, rng)


def _windows(clip: Path, length: int) -> int:
    with av.open(str(clip)) as container:
        stream = container.streams.video[0]
        known = stream.frames or round(float((container.duration or 0) / av.time_base * (stream.average_rate or 25)))
    return known // length


def _windowed(frames: Iterator[NDArray[np.uint8]], length: int) -> Iterator[Frames]:
    while len(window := list(islice(frames, length))) == length:
        yield np.stack(window)


def _crop(window: Frames, side: int, rng: np.random.Generator) -> Frames:
    least = min(1.0, (side + 2) / min(window.shape[1:3]))
    size = 1.0 if rng.random() < 0.5 else max(least, float(rng.uniform(0.5, 1.0)))
    source = round(side / size)
    places = [_place(window, source, rng) for _ in range(_CANDIDATES)]
    if rng.random() < 0.75:
        places.sort(key=lambda place: float(place[0].std()), reverse=True)
    crop = places[0]
    return np.ascontiguousarray(crop) if source == side else resized(crop, side, side, Interpolation.AREA)


def _place(window: Frames, side: int, rng: np.random.Generator) -> Frames:
    height, width = window.shape[1:3]
    side = min(side, height, width)
    top, left = rng.integers(0, height - side + 1), rng.integers(0, width - side + 1)
    return window[:, top : top + side, left : left + side]
