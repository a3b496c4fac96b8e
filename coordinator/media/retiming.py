"""An edit list applied to time: which pictures are kept, and when they are shown.

A picture belongs to the span in which it begins to be shown; that some containers count in milliseconds moves none over
a cut. In a span that runs faster than the film only so many
pictures are kept as the film has in that time; which of them follows from time stamps alone.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from itertools import accumulate
from typing import Protocol

from coordinator.media.probe import VideoFacts
from coordinator.media.timeline import Stamp
from framewire.edits.edit_list import WHOLE, EditList

_FINE = Fraction(1, 10_000)
"""Seconds: a result counts time at least so finely, as pictures may lie anywhere."""
SLACK = Fraction(2, 1000)
"""Seconds by which a picture may come early: some containers round. Never more than half of its own time."""
EARLY = Fraction(1, 4)
"""The same for the pictures of a faster part, of a picture's time."""


class Timing(Protocol):
    """When the pictures of a film are shown in the result."""

    @property
    def facts(self) -> VideoFacts:
        """The film's, with the result's time in them."""

    def stamp(self, stamp: Stamp, before: Stamp | None) -> Stamp | None:
        """A picture's stamp in the result; None for one that is left out. `before`: of the picture before it."""

    def is_over(self, stamp: Stamp) -> bool:
        """Neither this picture nor any behind it is kept."""


class Unchanged:
    """Every picture is shown when it is shown in the film."""

    def __init__(self, facts: VideoFacts) -> None:
        self.facts = facts

    def stamp(self, stamp: Stamp, before: Stamp | None) -> Stamp | None:
        """The same stamp."""
        return stamp

    def is_over(self, stamp: Stamp) -> bool:
        """Never."""
        return False


class Retiming:
    """An edit list for one film. The result's first picture is shown at 0."""

    def __init__(self, edits: EditList, facts: VideoFacts) -> None:
        """`facts` of the film."""
        self.edits = edits
        """What is kept."""
        self.origin = facts.first_pts * facts.time_base
        """When the film's first picture is shown, in seconds: where the edit list counts from."""
        self.facts = replace(
            facts, first_pts=0, frames=_expected(edits, facts), promised=0, time_base=_fine(facts.time_base)
        )
        self._base = facts.time_base
        self.usual = 1 / facts.rate if facts.rate else Fraction(0)
        """Seconds that a picture is shown on average; 0 when unknown."""
        self._starts = [span.start for span in edits.spans]
        self.starts = [*accumulate((span.seconds for span in edits.spans), initial=Fraction(0))]
        """When each span begins in the result, in seconds, and when the last one ends."""

    def stamp(self, stamp: Stamp, before: Stamp | None) -> Stamp | None:
        """Where the picture comes in the result."""
        number = self.span(stamp)
        if number is None or (before is not None and self._is_surplus(number, stamp, before)):
            return None
        moment, span = self.moment(stamp), self.edits.spans[number]
        start = self.starts[number] + max(Fraction(0), moment - span.start) / span.speed
        end = self.starts[number] + min(span.taken, moment + self._length(stamp) - span.start) / span.speed
        first = round(start / self.facts.time_base)
        return Stamp(pts=first, duration=max(0, round(end / self.facts.time_base) - first))

    def is_over(self, stamp: Stamp) -> bool:
        """It comes behind the last span."""
        return not self.edits.spans or self._begins(stamp) >= self.edits.spans[-1].end

    def __call__(self, time: Fraction) -> Fraction:
        """Seconds in the result of a moment in the film's own time. What is cut comes at the join."""
        moment = time - self.origin
        number = bisect.bisect_right(self._starts, moment) - 1
        if number < 0:
            return Fraction(0)
        span = self.edits.spans[number]
        return self.starts[number] + min(span.taken, moment - span.start) / span.speed

    def keeps(self, time: Fraction) -> bool:
        """Whether this moment is in the result."""
        moment = time - self.origin
        number = bisect.bisect_right(self._starts, moment) - 1
        return number >= 0 and moment < self.edits.spans[number].end

    def span(self, stamp: Stamp) -> int | None:
        """The number of the span that keeps a picture of the film, if one does."""
        begins = self._begins(stamp)
        number = bisect.bisect_right(self._starts, begins) - 1
        return number if number >= 0 and begins < self.edits.spans[number].end else None

    def _is_surplus(self, number: int, stamp: Stamp, before: Stamp) -> bool:
        span = self.edits.spans[number]
        if span.speed <= WHOLE or not self.usual or self.span(before) != number:
            return False
        return self._place(number, stamp) == self._place(number, before)

    def _place(self, number: int, stamp: Stamp) -> int:
        """Which of the pictures that the film has in as long a time it would be."""
        span = self.edits.spans[number]
        return math.floor((self.moment(stamp) - span.start) / span.speed / self.usual + EARLY)

    def moment(self, stamp: Stamp) -> Fraction:
        """When it is shown in the film, in seconds from the first picture."""
        return stamp.pts * self._base - self.origin

    def _length(self, stamp: Stamp) -> Fraction:
        return stamp.duration * self._base or self.usual

    def _begins(self, stamp: Stamp) -> Fraction:
        return self.moment(stamp) + min(SLACK, self._length(stamp) / 2)


def make_timing(facts: VideoFacts, edits: EditList | None) -> Timing:
    """The one for an edit list, or without any."""
    return Unchanged(facts) if edits is None else Retiming(edits, facts)


def _expected(edits: EditList, facts: VideoFacts) -> int:
    """Pictures that are kept; 0 when it is not known how many there are."""
    if not facts.rate or not facts.frames:
        return 0
    return min(facts.frames, round(sum(_kept(edits, facts.frames / facts.rate)) * facts.rate))


def _kept(edits: EditList, seconds: Fraction) -> Sequence[Fraction]:
    """Seconds of each span that pictures are kept for, in a film of this length."""
    return [max(Fraction(0), min(span.end, seconds) - span.start) / max(WHOLE, span.speed) for span in edits.spans]


def _fine(time_base: Fraction) -> Fraction:
    return time_base / math.ceil(time_base / _FINE) if time_base > _FINE else time_base
