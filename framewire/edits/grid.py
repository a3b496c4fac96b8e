"""Where cuts can fall: the boundaries between a film's pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from framewire.edits.edit_list import EditList, Span


class Grid(Protocol):
    """Boundaries between pictures, in exact seconds from the first picture; the first is 0."""

    @property
    def end(self) -> Fraction:
        """The last boundary: behind the last picture."""

    def nearest(self, moment: Fraction) -> Fraction:
        """The boundary nearest to a moment; of two at the same distance the earlier."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RegularGrid:
    """Pictures that all last as long."""

    rate: Fraction
    """Pictures a second."""
    frames: int

    @property
    def end(self) -> Fraction:
        """Behind the last picture."""
        return self.frames / self.rate

    def nearest(self, moment: Fraction) -> Fraction:
        """The boundary nearest to a moment."""
        before = min(max(0, int(moment * self.rate)), self.frames)
        following = min(before + 1, self.frames)
        closer = following if following / self.rate - moment < moment - before / self.rate else before
        return closer / self.rate


@dataclass(frozen=True, slots=True, init=False)
class FrameGrid:
    """Pictures at the times they have."""

    _times: NDArray[np.int64]
    _unit: Fraction

    def __init__(self, times: Sequence[int] | NDArray[np.int64], unit: Fraction, end: int) -> None:
        """`times`: when each picture is shown, in `unit` seconds, in any order; `end`: when the last one ends.

        Raises ValueError when there is no picture, or none before `end`.
        """
        shown = np.unique(np.asarray(times, dtype=np.int64))
        if not len(shown) or end <= shown[-1]:
            raise ValueError("a film has pictures, and its end is behind the last")
        object.__setattr__(self, "_times", np.append(shown, end) - shown[0])
        object.__setattr__(self, "_unit", unit)

    @property
    def end(self) -> Fraction:
        """Behind the last picture."""
        return int(self._times[-1]) * self._unit

    def nearest(self, moment: Fraction) -> Fraction:
        """The boundary nearest to a moment."""
        wanted = moment / self._unit
        at = int(np.searchsorted(self._times, int(wanted // 1), side="right"))
        before, following = max(0, at - 1), min(at, len(self._times) - 1)
        times = int(self._times[before]), int(self._times[following])
        return (times[1] if times[1] - wanted < wanted - times[0] else times[0]) * self._unit


def snap(edits: EditList, grid: Grid) -> EditList:
    """The same list with every start and end at a boundary; a span that is left without a picture is left out."""
    return EditList(
        Span(start=start, end=end, speed=span.speed, volume=span.volume)
        for span in edits.spans
        if (start := grid.nearest(span.start)) < (end := grid.nearest(span.end))
    )
