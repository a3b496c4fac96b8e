"""Where one unit of the result ends and the next begins: decided by the frames' time stamps and nothing else.

So every run over the same film cuts at the same frames, whatever it began with and however fast it is.
"""

from __future__ import annotations

from fractions import Fraction

from coordinator.media.timeline import Stamp

FIRST_SECONDS = (Fraction(1, 2), Fraction(1), Fraction(2))
"""The first units are short, so that there is something to watch soon."""
SECONDS = Fraction(4)
"""The others: what a crash costs at most, against what an encoder's new start costs."""
LEAST_FRAMES = 8
"""A unit of fewer frames is not worth its file, however long they are shown."""
MOST_FRAMES = 480
_MOST_PIXELS = 600_000_000
"""Pixels of a unit: at 4K a unit is shorter, because a frame takes longer."""


class Cutter:
    """Says at which frames units begin. For one film, in order."""

    def __init__(self, time_base: Fraction, pixels: int, *, index: int = 0) -> None:
        """`pixels` of a frame of the result. `index` of the unit that begins with the first frame."""
        self.index = index
        """Of the unit the frame seen last belongs to."""
        self._time_base = time_base
        self._most = max(LEAST_FRAMES, min(MOST_FRAMES, _MOST_PIXELS // max(1, pixels)))
        self._start: int | None = None
        self._frames = 0

    def begins(self, stamp: Stamp) -> bool:
        """Whether the next frame of the film begins a unit; the very first does not count as one that ends another."""
        ends = self._start is not None and self._is_full(stamp.pts - self._start)
        if ends:
            self.index += 1
            self._frames = 0
        if self._frames == 0:
            self._start = stamp.pts
        self._frames += 1
        return ends

    def _is_full(self, ticks: int) -> bool:
        if self._frames >= self._most:
            return True
        length = FIRST_SECONDS[self.index] if self.index < len(FIRST_SECONDS) else SECONDS
        return self._frames >= LEAST_FRAMES and ticks * self._time_base >= length
