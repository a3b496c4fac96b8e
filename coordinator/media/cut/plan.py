"""Which packets are copied, which pictures are encoded again, and when each of them is shown in the result."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from coordinator.media.cut.obstacles import CannotCopy, Obstacle
from coordinator.media.cut.survey import Film, Numbers
from framewire.edits.edit_list import WHOLE, EditList, Span

MOST_SAMPLES = 300 * 1920 * 1080
"""Of the pictures that one encoder gets: what it makes of them waits in memory."""
FURTHEST = 1800
"""Pictures that may lie between two key frames around a cut: they are all decoded for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Copied:
    """Packets that are taken as they are, by their number in the order of the file."""

    first: int
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoded:
    """Pictures that are encoded again, by ranges in the order of showing. Each range begins with a key frame."""

    ranges: tuple[tuple[int, int], ...]

    @property
    def frames(self) -> int:
        """Of all ranges."""
        return sum(end - first for first, end in self.ranges)


Piece = Copied | Encoded


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A kept part, as long as its pictures are shown. In seconds; `start` is 0 at the film's first picture."""

    start: Fraction
    end: Fraction
    shown: Fraction
    """When it begins in the result."""
    frames: int
    volume: Fraction = WHOLE


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Plan:
    """How a result is made."""

    ranges: tuple[tuple[int, int], ...]
    """Pictures that are kept, in the order of showing; between two ranges lies a cut."""
    pieces: tuple[Piece, ...]
    parts: tuple[Part, ...]
    pts: Numbers
    """Of the result's pictures, in the order of showing; the first is at 0."""
    dts: Numbers
    """Of its packets, in the order of the file."""
    durations: Numbers
    """Of its pictures, in the order of showing."""

    @property
    def frames(self) -> int:
        """Pictures of the result."""
        return len(self.pts)

    @property
    def encoded(self) -> int:
        """Pictures of it that are encoded again."""
        return sum(piece.frames for piece in self.pieces if isinstance(piece, Encoded))

    @property
    def edits(self) -> EditList:
        """What is kept, to the picture; for sound."""
        return EditList(Span(start=part.start, end=part.end, volume=part.volume) for part in self.parts)


def make_plan(film: Film, edits: EditList, *, samples: int) -> Plan:
    """Cut edges fall on the nearest boundary between two pictures. `samples`: of one picture.

    Raises CannotCopy; ValueError when nothing is kept.
    """
    if any(span.speed != WHOLE for span in edits.spans):
        raise CannotCopy(Obstacle.SPEED)
    kept = list(_kept(film, edits))
    ranges = list(_ranges(kept))
    if not ranges:
        raise ValueError("no picture is kept")
    pieces = tuple(_split(_joined(_pieces(film, ranges)), max(1, MOST_SAMPLES // samples)))
    pts, durations = _times(film, ranges)
    return Plan(
        ranges=tuple(ranges),
        pieces=pieces,
        parts=tuple(_parts(kept)),
        pts=pts,
        dts=_decoding_times(pts, _reordering(film, pieces)),
        durations=durations,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kept:
    """A span, as pictures allow it. Times in seconds from the film's first picture."""

    first: int
    end: int
    """Behind its last picture; `first` when it has only sound."""
    start: Fraction
    stop: Fraction
    volume: Fraction


def _kept(film: Film, edits: EditList) -> Iterator[_Kept]:
    """Every span that is there at all: one shorter than a picture is dropped.

    What lies behind the last picture has sound alone.
    """
    first, end = film.visible
    edges = np.append(film.shown[first:end], film.end_of(end - 1)) - film.shown[first]
    length = int(edges[-1]) * film.time_base
    for span in edits.spans:
        one, other = (_nearest(edges, time / film.time_base) for time in (span.start, span.end))
        start, stop = int(edges[one]) * film.time_base, int(edges[other]) * film.time_base
        if span.end > length:
            start, stop = start if one < other else max(start, span.start), span.end
        if one < other or stop > start:
            yield _Kept(first=first + one, end=first + other, start=start, stop=stop, volume=span.volume)


def _ranges(kept: Iterable[_Kept]) -> Iterator[tuple[int, int]]:
    """Pictures of spans that go on one behind the other, with another volume, are not cut apart."""
    first = end = 0
    for span in kept:
        if span.first == end or span.first == span.end:
            end = max(end, span.end)
            continue
        if first < end:
            yield first, end
        first, end = span.first, span.end
    if first < end:
        yield first, end


def _nearest(edges: Numbers, time: Fraction) -> int:
    behind = int(np.searchsorted(edges, float(time)))
    near = [place for place in (behind - 1, behind, behind + 1) if 0 <= place < len(edges)]
    return min(near, key=lambda place: abs(int(edges[place]) - time), default=len(edges) - 1)


def _parts(kept: Sequence[_Kept]) -> Iterator[Part]:
    shown = Fraction(0)
    for span in kept:
        yield Part(start=span.start, end=span.stop, shown=shown, frames=span.end - span.first, volume=span.volume)
        shown += span.stop - span.start


def _pieces(film: Film, ranges: Sequence[tuple[int, int]]) -> Iterator[Piece]:
    for first, end in ranges:
        place = first
        while place < end:
            group = film.group(place)
            stop = min(end, group.end)
            if place == group.first:
                copied = group.end if stop == group.end else _whole_beginning(film, group.first, stop)
                if copied > place:
                    yield Copied(first=place, end=copied)
                place = copied
            if place < stop:
                if group.end - group.first > FURTHEST:
                    raise CannotCopy(Obstacle.FAR_KEY_FRAMES)
                yield Encoded(ranges=((place, stop),))
            place = stop


def _whole_beginning(film: Film, first: int, stop: int) -> int:
    """Where the longest beginning of a group ends that can stand without the rest, and is shown before `stop`."""
    latest = np.maximum.accumulate(film.place[first:stop])
    complete = np.flatnonzero(latest == np.arange(first, stop))
    return first + int(complete[-1]) + 1 if len(complete) else first


def _joined(pieces: Iterator[Piece]) -> Iterator[Piece]:
    """Neighbours of one kind as one: one encoder for what lies on both sides of a cut."""
    held: Piece | None = None
    for piece in pieces:
        if isinstance(held, Encoded) and isinstance(piece, Encoded):
            held = Encoded(ranges=(*held.ranges, *piece.ranges))
        elif isinstance(held, Copied) and isinstance(piece, Copied) and held.end == piece.first:
            held = Copied(first=held.first, end=piece.end)
        else:
            if held is not None:
                yield held
            held = piece
    if held is not None:
        yield held


def _split(pieces: Iterator[Piece], most: int) -> Iterator[Piece]:
    """Encoded pieces of at most so many frames."""
    for piece in pieces:
        if isinstance(piece, Copied):
            yield piece
            continue
        ranges: list[tuple[int, int]] = []
        room = most
        for first, end in piece.ranges:
            while first < end:
                stop = min(end, first + room)
                ranges.append((first, stop))
                room -= stop - first
                first = stop
                if not room:
                    yield Encoded(ranges=tuple(ranges))
                    ranges, room = [], most
        if ranges:
            yield Encoded(ranges=tuple(ranges))


def _times(film: Film, ranges: Sequence[tuple[int, int]]) -> tuple[Numbers, Numbers]:
    pts, durations, shown = [], [], 0
    for first, end in ranges:
        edges = np.append(film.shown[first:end], film.end_of(end - 1))
        pts.append(edges[:-1] - edges[0] + shown)
        durations.append(np.diff(edges))
        shown += int(edges[-1] - edges[0])
    return np.concatenate(pts), np.concatenate(durations)


def _reordering(film: Film, pieces: Sequence[Piece]) -> int:
    """By how many places a copied picture was moved ahead at most."""
    spans = [piece for piece in pieces if isinstance(piece, Copied)]
    late = [int((np.arange(span.first, span.end) - film.place[span.first : span.end]).max()) for span in spans]
    return max([0, *late])


def _decoding_times(pts: Numbers, reordering: int) -> Numbers:
    """The pictures' own times, late by as many places as any was moved ahead: they grow, and none is behind its pts."""
    step = max(1, int(pts[min(reordering, len(pts) - 1)] - pts[0]) // max(1, reordering))
    before = pts[0] - step * np.arange(reordering, 0, -1)
    return np.concatenate([before, pts])[: len(pts)]
