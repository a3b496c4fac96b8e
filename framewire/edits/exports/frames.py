"""An edit list on the grid of a film's frames."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

from framewire.edits.edit_list import WHOLE, EditList, Span
from framewire.edits.exports.source import SourceFilm, nearest


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameSpan:
    """A kept part in frames: `start` to before `end` of the film are `begins` to before `ends` of the result."""

    start: int
    end: int
    begins: int
    ends: int
    speed: Fraction
    volume: Fraction

    @property
    def taken(self) -> int:
        """Frames of the film that it keeps."""
        return self.end - self.start

    @property
    def lasts(self) -> int:
        """Frames of the result; 0 for a part so fast and short that none is shown."""
        return self.ends - self.begins

    @property
    def pace(self) -> Fraction:
        """Frames of the film for each frame of the result: the speed once both are whole frames."""
        return WHOLE if self.speed == WHOLE else Fraction(self.taken, self.lasts)


def on_frames(edits: EditList, film: SourceFilm) -> list[FrameSpan]:
    """The spans on whole frames, in order. Those that keep no frame are left out.

    Each edge in the film is the frame nearest to it, whatever the edges before it were. A part that is not sped up
    lasts as many frames as it takes; behind parts that are, the place in the result is rounded from the exact sum.
    So no edge is off by more than half a frame, and nothing adds up.
    """
    return [span for span in _placed(_snapped(edits, film)) if span.lasts]


def _snapped(edits: EditList, film: SourceFilm) -> Iterator[Span]:
    """Spans whose times are frames; neighbours that became one are joined."""
    spans = [_on_grid(span, film) for span in edits.spans]
    return iter(EditList(span for span in spans if span is not None).spans)


def _on_grid(span: Span, film: SourceFilm) -> Span | None:
    start, end = (min(film.frames, nearest(moment * film.rate)) for moment in (span.start, span.end))
    if start >= end:
        return None
    return Span(start=Fraction(start), end=Fraction(end), speed=span.speed, volume=span.volume)


def _placed(spans: Iterator[Span]) -> Iterator[FrameSpan]:
    passed = Fraction(0)
    for span in spans:
        begins = nearest(passed)
        passed += span.seconds
        yield FrameSpan(
            start=int(span.start),
            end=int(span.end),
            begins=begins,
            ends=nearest(passed),
            speed=span.speed,
            volume=span.volume,
        )
