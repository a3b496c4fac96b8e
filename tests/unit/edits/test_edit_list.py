"""Edit lists: what they keep, how long that lasts, where a moment of the film is in the result."""

from __future__ import annotations

from fractions import Fraction

import pytest

from framewire.edits.edit_list import EditList, Span


def span(start: float, end: float, speed: int = 1, volume: int = 1) -> Span:
    return Span(start=Fraction(start), end=Fraction(end), speed=Fraction(speed), volume=Fraction(volume))


def test_neighbours_that_are_played_alike_are_one_span() -> None:
    assert EditList([span(0, 1), span(1, 2), span(2, 3, speed=2)]).spans == (span(0, 2), span(2, 3, speed=2))


def test_a_fast_part_lasts_less_long_in_the_result() -> None:
    edits = EditList([span(0, 2), span(4, 8, speed=4)])
    assert edits.taken == 6
    assert edits.seconds == 3


@pytest.mark.parametrize(("moment", "expected"), [(0, 0), (1, 1), (2, None), (3, None), (4, 2), (6, 2.5), (8, None)])
def test_a_moment_of_the_film_is_found_in_the_result_unless_it_was_cut(moment: int, expected: float | None) -> None:
    assert EditList([span(0, 2), span(4, 8, speed=4)]).result_time(Fraction(moment)) == expected


def test_gaps_are_what_lies_between_before_and_behind_the_spans() -> None:
    gaps = EditList([span(1, 2), span(3, 4)]).gaps(Fraction(5))
    assert [(int(start), int(end)) for start, end in gaps] == [(0, 1), (2, 3), (4, 5)]
    assert list(EditList([span(0, 5)]).gaps(Fraction(5))) == []


def test_only_a_list_that_changes_nothing_keeps_all() -> None:
    assert EditList([span(0, 2), span(2, 5)]).keeps_all_of(Fraction(5))
    assert not EditList([span(0, 5, volume=0)]).keeps_all_of(Fraction(5))
    assert not EditList([span(0, 4)]).keeps_all_of(Fraction(5))
    assert not EditList([]).keeps_all_of(Fraction(5))


@pytest.mark.parametrize("spans", [[span(0, 2), span(1, 3)], [span(3, 4), span(0, 1)]])
def test_spans_that_overlap_or_are_out_of_order_are_refused(spans: list[Span]) -> None:
    with pytest.raises(ValueError, match="before the one before it ends"):
        EditList(spans)


@pytest.mark.parametrize(
    ("start", "end", "speed", "volume"), [(1, 1, 1, 1), (-1, 1, 1, 1), (0, 1, 0, 1), (0, 1, 1, -1)]
)
def test_a_span_that_makes_no_sense_is_refused(start: int, end: int, speed: int, volume: int) -> None:
    with pytest.raises(ValueError, match=r"span|speed"):
        span(start, end, speed, volume)
