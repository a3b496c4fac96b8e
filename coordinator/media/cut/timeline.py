"""From the film's time to the result's, for what is neither picture nor sound: texts and chapters."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, Protocol

from av.packet import Packet
from av.stream import Stream

from coordinator.media.cut.plan import Part

if TYPE_CHECKING:
    from av.container.core import Chapter  # PyAV has it in its stubs only

_NOTHING = 2
"""Bytes of a packet of MP4's text that shows nothing."""


class ResultTime(Protocol):
    """When the film's moments come in the result."""

    def __call__(self, time: Fraction) -> Fraction:
        """Seconds in the result of a moment in the film's own time. What is cut comes at the join."""

    def keeps(self, time: Fraction) -> bool:
        """Whether this moment is in the result."""


def moved_chapters(chapters: Iterable[Chapter], shift: ResultTime) -> Iterator[Chapter]:
    """Those of which something is kept, in the result's time."""
    for chapter in chapters:
        base = Fraction(chapter["time_base"] or 1)
        start, end = (shift(moment * base) / base for moment in (chapter["start"], chapter["end"]))
        if round(start) < round(end):
            yield {**chapter, "start": round(start), "end": round(end)}


class Shift:
    """When the film's moments come in the result. What is cut comes at the join."""

    def __init__(self, parts: Sequence[Part], zero: Fraction) -> None:
        """`zero`: the film's own time of its first picture."""
        self._parts, self._zero = parts, zero
        self._starts = [part.start for part in parts]

    def __call__(self, time: Fraction) -> Fraction:
        """Seconds in the result of a moment in the film's own time."""
        moment = time - self._zero
        number = bisect_right(self._starts, moment) - 1
        if number < 0:
            return Fraction(0)
        part = self._parts[number]
        return part.shown + min(moment, part.end) - part.start

    def keeps(self, time: Fraction) -> bool:
        """Whether this moment is in the result."""
        moment = time - self._zero
        number = bisect_right(self._starts, moment) - 1
        return number >= 0 and moment < self._parts[number].end

    def chapters(self, chapters: Iterable[Chapter]) -> Iterator[Chapter]:
        """Those of which something is kept."""
        return moved_chapters(chapters, self)


class TextShift:
    """Moves one track's texts. Each gets shorter by what is cut of it; one of which nothing is left goes."""

    def __init__(self, shift: ResultTime) -> None:
        self._shift = shift
        self._held: Packet[Stream] | None = None

    def packets(self, packet: Packet[Stream]) -> Iterator[Packet[Stream]]:
        """The packet with its new time, or nothing."""
        if packet.pts is None or packet.size <= _NOTHING:
            return
        start = packet.pts * packet.time_base
        if not packet.duration:
            yield from self._change(packet, start)
            return
        shown = self._shift(start)
        length = round((self._shift(start + packet.duration * packet.time_base) - shown) / packet.time_base)
        if length > 0:
            packet.duration = length
            yield self._placed(packet, start)

    def rest(self) -> Iterator[Packet[Stream]]:
        """What is left behind the last packet."""
        if self._held is not None:
            yield self._held
            self._held = None

    def _change(self, packet: Packet[Stream], start: Fraction) -> Iterator[Packet[Stream]]:
        """A packet that shows or hides something until the next: of those that are cut, the last counts at the join."""
        keep = self._shift.keeps(start)
        placed = self._placed(packet, start)
        if self._held is not None and (self._held.pts or 0) < (placed.pts or 0):
            yield from self.rest()
        self._held = None if keep else placed
        if keep:
            yield placed

    def _placed(self, packet: Packet[Stream], start: Fraction) -> Packet[Stream]:
        packet.pts = packet.dts = round(self._shift(start) / packet.time_base)
        return packet
