"""Faults of the result that the input does not have: black, frozen and broken frames.

Every frame is looked at where it lies in memory, before and after the models, on a small grid of points; that costs
some hundredths of a millisecond. A model hands over 8-bit samples, so values that are no numbers show as patches of
pure black or white.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from framewire.v1.job_pb2 import FrameChecks as Report

GRID = 24
"""Points a side."""
_BLACK = 16
"""A picture without a brighter sample is black."""
_LIT = 48
"""A picture with a brighter sample is not black at all: what lies between counts for neither."""
_MOVED = 8
"""Levels by which a point has to change for the picture to have changed."""
_PLAIN = (32, 223)
"""Samples that a working model does not turn into pure black or white."""
_BROKEN = GRID * GRID // 50
"""Points that make a patch."""
_COUNTERS = ("frames", "black", "frozen", "longest_freeze", "broken")

Points = NDArray[np.uint8]
"""`[GRID, GRID, 3]` samples of a picture."""


def look(picture: NDArray[np.uint8]) -> Points:
    """The points of a picture `[height, width, 3]`; they lie at the same places whatever its size."""
    rows, columns = ((2 * np.arange(GRID) + 1) * side // (2 * GRID) for side in picture.shape[:2])
    points: Points = picture[rows[:, None], columns]
    return points


class FrameChecks:
    """Counts faults of one run, which may go on where another ended. For one thread."""

    def __init__(self, earlier: Mapping[str, int]) -> None:
        """`earlier`: counters of the part that is done already; those of others among them do not matter."""
        self._counts = {name: earlier.get(f"checks.{name}", 0) for name in _COUNTERS}
        self._before: Points | None = None
        self._after: Points | None = None
        self._run = 0

    def begin_unit(self) -> None:
        """The next frame is not compared with the last: a run that begins there has not seen that one."""
        self._before = self._after = None
        self._run = 0

    def add(self, before: Points, after: Points, *, times: int = 1) -> None:
        """A frame of the input and what became of it; `times`: how often it is shown on end."""
        self._counts["frames"] += times
        if self._is_black(before, after):
            self._counts["black"] += times
        elif _is_broken(before, after):
            self._counts["broken"] += times
        self._count_freeze(before, after, times)
        self._before, self._after = before, after

    def counters(self) -> dict[str, int]:
        """What the next run goes on from."""
        return {f"checks.{name}": count for name, count in self._counts.items()}

    def _is_black(self, before: Points, after: Points) -> bool:
        return bool(after.max() <= _BLACK < _LIT < before.max())

    def _count_freeze(self, before: Points, after: Points, times: int) -> None:
        if self._before is None or self._after is None or not _moved(self._before, before):
            self._run = 0
        elif np.array_equal(self._after, after):
            self._run += 1
            self._counts["frozen"] += times
            self._counts["longest_freeze"] = max(self._counts["longest_freeze"], self._run)
        else:
            self._run = 0


def report(counters: Mapping[str, int]) -> Report:
    """The part of the fidelity report; `counters` as `FrameChecks.counters` gives them."""
    return Report(**{name: counters.get(f"checks.{name}", 0) for name in _COUNTERS})


def _moved(one: Points, other: Points) -> bool:
    return bool(np.abs(one.astype(np.int16) - other).max() > _MOVED)


def _is_broken(before: Points, after: Points) -> bool:
    plain = ((before >= _PLAIN[0]) & (before <= _PLAIN[1])).all(axis=-1)
    pure = (after == 0).all(axis=-1) | (after == 255).all(axis=-1)
    return int((plain & pure).sum()) > _BROKEN
