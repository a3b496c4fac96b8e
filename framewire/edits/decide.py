"""From loud and silent to what is kept. The decisions are those of auto-editor, in its order.

    loud?   one answer for each hop of time
    minclip loud parts that are shorter become silent
    mincut  then silent parts that are shorter become loud
    margin  then loud parts grow, or shrink, before and behind; the ends of the film are no edges
    ranges  then what is always cut is cut, and what is always kept is kept

Lengths are rounded to hops, and every boundary is then taken to the nearest one between two pictures.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from framewire.edits.edit_list import WHOLE, EditList, Span
from framewire.edits.grid import Grid, snap

Loud = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """What becomes of a part."""

    cut: bool = False
    speed: Fraction = WHOLE
    volume: Fraction = WHOLE


CUT = Action(cut=True)
KEEP = Action()


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """A part somebody has named, in seconds from the first picture."""

    start: Fraction
    end: Fraction | None
    """None: to the end of the film."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """How loud and silent become kept and cut. Lengths in seconds."""

    before: Fraction = Fraction(1, 5)
    """Margin before loud parts; less than 0 shortens them."""
    behind: Fraction = Fraction(1, 5)
    mincut: Fraction = Fraction(1, 5)
    minclip: Fraction = Fraction(1, 10)
    silent: Action = CUT
    loud: Action = KEEP
    always_keep: tuple[Range, ...] = ()
    """Kept as they are; they win over `always_cut`."""
    always_cut: tuple[Range, ...] = ()


def decide(loud: Loud, hop: Fraction, rules: Rules, grid: Grid) -> EditList:
    """What is kept of a film. `loud` has one value for each `hop` seconds; behind its end the film is silent.

    Empty when nothing is left.
    """
    parts = [*_parts(smooth(_fitted(loud, math.ceil(grid.end / hop)), hop, rules), hop, rules, grid.end)]
    for ranges, action in ((rules.always_cut, CUT), (rules.always_keep, KEEP)):
        for each in ranges:
            parts = [*_laid_over(parts, each, action, grid.end)]
    kept = (Span(start=p.start, end=p.end, speed=p.action.speed, volume=p.action.volume) for p in parts if p.kept)
    return snap(EditList(kept), grid)


def _fitted(loud: Loud, hops: int) -> Loud:
    """As long as the film: what lies behind its end decides nothing, what is missing is silent."""
    return np.pad(loud[:hops], (0, max(0, hops - len(loud))))


def smooth(loud: Loud, hop: Fraction, rules: Rules) -> Loud:
    """`loud` behind minclip, mincut and margin; its argument stays as it is."""
    result = np.array(loud, dtype=np.bool_)
    _turn_short(result, True, _hops(rules.minclip, hop))
    _turn_short(result, False, _hops(rules.mincut, hop))
    _move_edges(result, _hops(rules.before, hop), _hops(rules.behind, hop))
    return result


def _hops(seconds: Fraction, hop: Fraction) -> int:
    return round(seconds / hop)


def _edges(loud: Loud) -> NDArray[np.intp]:
    """Where a part begins that is not the first."""
    return np.flatnonzero(loud[1:] != loud[:-1]) + 1


def _turn_short(loud: Loud, value: bool, least: int) -> None:
    """Turn parts of this value that have fewer hops."""
    bounds = [0, *_edges(loud).tolist(), len(loud)]
    for start, end in itertools.pairwise(bounds):
        if start < end and loud[start] == value and end - start < least:
            loud[start:end] = not value


def _move_edges(loud: Loud, before: int, behind: int) -> None:
    edges = _edges(loud).tolist()
    starts, ends = [at for at in edges if loud[at]], [at for at in edges if not loud[at]]
    for at in starts:
        if before >= 0:
            loud[max(at - before, 0) : at] = True
        else:
            loud[at : at - before] = False
    for at in ends:
        if behind >= 0:
            loud[at : at + behind] = True
        else:
            loud[max(at + behind, 0) : at] = False


@dataclass(frozen=True, slots=True, kw_only=True)
class _Part:
    start: Fraction
    end: Fraction
    action: Action

    @property
    def kept(self) -> bool:
        return not self.action.cut

    def within(self, start: Fraction, end: Fraction) -> Iterator[_Part]:
        start, end = max(start, self.start), min(end, self.end)
        if start < end:
            yield _Part(start=start, end=end, action=self.action)


def _parts(loud: Loud, hop: Fraction, rules: Rules, end: Fraction) -> Iterator[_Part]:
    edges = _edges(loud).tolist() if len(loud) else []
    bounds = [0, *edges, len(loud)]
    for first, last in itertools.pairwise(bounds):
        if first < last:
            action = rules.loud if loud[first] else rules.silent
            yield from _Part(start=first * hop, end=last * hop, action=action).within(Fraction(0), end)


def _laid_over(parts: Iterable[_Part], named: Range, action: Action, film_end: Fraction) -> Iterator[_Part]:
    """The parts with one laid over them; what it covers of theirs is gone."""
    start, end = named.start, film_end if named.end is None else min(named.end, film_end)
    if start >= end:
        yield from parts
        return
    told = False
    for part in parts:
        yield from part.within(Fraction(0), start)
        if not told and part.end > start:
            told = True
            yield _Part(start=start, end=end, action=action)
        yield from part.within(end, film_end)
