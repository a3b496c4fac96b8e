"""An edit list: the parts of a film that are kept, in order, each with its speed and its volume."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction

WHOLE: Fraction = Fraction(1)
"""The speed, and the volume, that change nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """A kept part. Times are exact seconds from the start of the film: the presentation time of its first picture."""

    start: Fraction
    end: Fraction
    """Behind the last moment that is kept."""
    speed: Fraction = WHOLE
    """Times as fast; the pitch of sound stays. Larger than 0."""
    volume: Fraction = WHOLE
    """Sound is multiplied by it; from 0."""

    def __post_init__(self) -> None:
        if not 0 <= self.start < self.end:
            raise ValueError(f"a span from {self.start} to {self.end} s holds nothing")
        if self.speed <= 0 or self.volume < 0:
            raise ValueError(f"no film runs at speed {self.speed} or sounds at volume {self.volume}")

    @property
    def taken(self) -> Fraction:
        """Seconds of the film that it keeps."""
        return self.end - self.start

    @property
    def seconds(self) -> Fraction:
        """Seconds that it lasts in the result."""
        return self.taken / self.speed

    @property
    def plain(self) -> bool:
        """It is kept as it is."""
        return self.speed == WHOLE and self.volume == WHOLE

    def joins(self, following: Span) -> bool:
        """`following` goes on where this one ends, in the same way: the two are one."""
        return self.end == following.start and self.speed == following.speed and self.volume == following.volume


@dataclass(frozen=True, slots=True)
class EditList:
    """Spans in the order of the film; none overlaps another, neighbours that are one have been joined."""

    spans: tuple[Span, ...]

    def __init__(self, spans: Iterable[Span]) -> None:
        """Raises ValueError when spans overlap or are out of order."""
        object.__setattr__(self, "spans", tuple(_joined(spans)))

    @property
    def taken(self) -> Fraction:
        """Seconds of the film that are kept."""
        return sum((span.taken for span in self.spans), Fraction(0))

    @property
    def seconds(self) -> Fraction:
        """Seconds that the result lasts."""
        return sum((span.seconds for span in self.spans), Fraction(0))

    @property
    def plain(self) -> bool:
        """Parts are left out, and nothing else is changed."""
        return all(span.plain for span in self.spans)

    def keeps_all_of(self, seconds: Fraction) -> bool:
        """It leaves a film of this length as it is."""
        return len(self.spans) == 1 and self.plain and self.spans[0].start == 0 and self.spans[0].end >= seconds

    def result_time(self, moment: Fraction) -> Fraction | None:
        """When a moment of the film comes in the result; None where it is cut."""
        passed = Fraction(0)
        for span in self.spans:
            if moment < span.start:
                return None
            if moment < span.end:
                return passed + (moment - span.start) / span.speed
            passed += span.seconds
        return None

    def gaps(self, seconds: Fraction) -> Iterator[tuple[Fraction, Fraction]]:
        """The parts of a film of this length that are cut."""
        position = Fraction(0)
        for span in self.spans:
            if position < span.start:
                yield position, span.start
            position = span.end
        if position < seconds:
            yield position, seconds


def _joined(spans: Iterable[Span]) -> Iterator[Span]:
    held: Span | None = None
    for span in spans:
        if held is None:
            held = span
        elif span.start < held.end:
            raise ValueError(f"a span starts at {span.start} s, before the one before it ends at {held.end} s")
        elif held.joins(span):
            held = Span(start=held.start, end=span.end, speed=held.speed, volume=held.volume)
        else:
            yield held
            held = span
    if held is not None:
        yield held
