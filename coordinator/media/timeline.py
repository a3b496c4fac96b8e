"""Time stamps: exact as the file says them, and repaired only where a file contradicts itself."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction


@dataclass(frozen=True, slots=True, kw_only=True)
class Stamp:
    """When a frame is shown, in units of its track's time base."""

    pts: int
    duration: int
    """0 when unknown."""


class Timeline:
    """Gives every frame of a track a stamp; pts grow strictly."""

    def __init__(self, time_base: Fraction, rate: Fraction | None, *, by_decoding: bool = False) -> None:
        """`by_decoding`: the container knows nothing but the order of decoding, as AVI does."""
        self.repaired = 0
        """Frames whose stamp was missing or did not grow."""
        self._by_decoding = by_decoding
        self._misled = False
        self._told: int | None = None
        self._step = max(1, round(1 / (rate * time_base))) if rate else 1
        self._last: Stamp | None = None

    def told(self, pts: int | None, dts: int | None) -> int | None:
        """When the file says that the next frame is shown. `dts`: of the packet with which it came out of the decoder.

        Where pts run backwards, whoever wrote the file did not know better than to copy the order of decoding. Frames
        come out in the order of showing, so from there on it is told by when they do, as players do it.
        """
        if self._by_decoding or pts is None:
            return dts
        self._misled = self._misled or (self._told is not None and pts <= self._told)
        if self._misled:
            self.repaired += dts is not None and dts != pts  # without any it is given one, which counts there
            return dts
        self._told = pts
        return pts

    def stamp(self, pts: int | None, duration: int) -> Stamp:
        """The stamp of the next frame, from what `told` says of it."""
        following = self._following()
        if pts is None:
            pts, self.repaired = following, self.repaired + (not self._by_decoding)
        elif self._last is not None and pts <= self._last.pts:
            pts, self.repaired = self._last.pts + 1, self.repaired + 1
        self._last = Stamp(pts=pts, duration=max(0, duration))
        return self._last

    def take_up(self, last: Stamp, *, repaired: int) -> None:
        """Go on as if the frame before the next had been stamped `last`, and so many repaired before."""
        self._last, self.repaired, self._told = last, repaired, last.pts

    def _following(self) -> int:
        if self._last is None:
            return 0
        return self._last.pts + (self._last.duration or self._step)
