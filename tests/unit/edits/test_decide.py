"""From loud and silent to what is kept."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from framewire.edits.decide import CUT, KEEP, Action, Range, Rules, decide, smooth
from framewire.edits.edit_list import EditList
from framewire.edits.grid import FrameGrid, RegularGrid

TENTH = Fraction(1, 10)
NOTHING = Rules(before=Fraction(0), behind=Fraction(0), mincut=Fraction(0), minclip=Fraction(0))

answers = st.lists(st.booleans(), max_size=200)
tenths = st.integers(0, 20).map(lambda n: n * TENTH)
margins = st.integers(-15, 15).map(lambda n: n * TENTH)
actions = st.sampled_from([CUT, KEEP, Action(speed=Fraction(4)), Action(volume=Fraction(1, 2))])


@st.composite
def ranges(draw: st.DrawFn) -> Range:
    start = Fraction(draw(st.integers(0, 2500)), 100)
    longer = draw(st.none() | st.integers(1, 500))
    return Range(start=start, end=None if longer is None else start + Fraction(longer, 100))


rules = st.builds(
    Rules,
    before=margins,
    behind=margins,
    mincut=tenths,
    minclip=tenths,
    silent=actions,
    loud=actions,
    always_keep=st.lists(ranges(), max_size=3).map(tuple),
    always_cut=st.lists(ranges(), max_size=3).map(tuple),
)


def text(loud: str, **lengths: float) -> str:
    """`..##.` smoothed, lengths in hops."""
    chosen = {name: Fraction(str(value)) for name, value in lengths.items()}
    rule = Rules(
        **{"before": Fraction(0), "behind": Fraction(0), "mincut": Fraction(0), "minclip": Fraction(0)} | chosen
    )
    done = smooth(np.array([each == "#" for each in loud]), Fraction(1), rule)
    return "".join("#" if each else "." for each in done)


def kept(edits: EditList) -> list[tuple[float, float]]:
    return [(float(span.start), float(span.end)) for span in edits.spans]


@pytest.mark.parametrize(
    ("loud", "lengths", "expected"),
    [
        pytest.param("..#..###..", {"minclip": 2}, ".....###..", id="short loud parts become silent"),
        pytest.param("##.##..##", {"mincut": 2}, "#####..##", id="short silent parts become loud"),
        pytest.param("#.#...", {"minclip": 2, "mincut": 2}, "......", id="minclip comes before mincut"),
        pytest.param("...##....", {"before": 1, "behind": 2}, "..#####..", id="loud parts grow"),
        pytest.param("..#####..", {"before": -1, "behind": -2}, "...##....", id="loud parts shrink"),
        pytest.param("##....##", {"before": -1, "behind": -1}, "#......#", id="the film's ends are no edges"),
        pytest.param(".#......", {"before": 5}, "##......", id="a margin ends where the film does"),
        pytest.param("", {"before": 5}, "", id="no hop at all"),
        pytest.param("..#", {"minclip": 1}, "..#", id="a part that is long enough at the end stays"),
    ],
)
def test_parts_are_smoothed_in_the_order_minclip_mincut_margin(
    loud: str, lengths: dict[str, float], expected: str
) -> None:
    assert text(loud, **lengths) == expected


def auto_editor(loud: list[bool], minclip: int, mincut: int, before: int, behind: int) -> list[bool]:
    """The documented rules, spelled out one part after the other."""
    for value, least in ((True, minclip), (False, mincut)):
        at = 0
        while at < len(loud):
            end = at
            while end < len(loud) and loud[end] == loud[at]:
                end += 1
            if loud[at] == value and end - at < least:
                loud[at:end] = [not value] * (end - at)
            else:
                at = end
                continue
            at = end
    grown = list(loud)
    for at in range(1, len(loud)):
        if loud[at] and not loud[at - 1]:
            for near in range(max(0, at - before), at):
                grown[near] = True
        if loud[at - 1] and not loud[at]:
            for near in range(at, min(len(loud), at + behind)):
                grown[near] = True
    return grown


@given(answers, st.integers(0, 5), st.integers(0, 5), st.integers(0, 5), st.integers(0, 5))
def test_smoothing_agrees_with_the_rules_spelled_out(
    loud: list[bool], minclip: int, mincut: int, before: int, behind: int
) -> None:
    rule = Rules(before=Fraction(before), behind=Fraction(behind), mincut=Fraction(mincut), minclip=Fraction(minclip))
    done = smooth(np.array(loud, dtype=bool), Fraction(1), rule)
    assert done.tolist() == auto_editor(list(loud), minclip, mincut, before, behind)


@given(answers, rules, st.integers(1, 300))
def test_every_boundary_is_between_two_pictures_and_inside_the_film(loud: list[bool], rule: Rules, frames: int) -> None:
    grid = RegularGrid(rate=Fraction(30000, 1001), frames=frames)
    for span in decide(np.array(loud, dtype=bool), TENTH, rule, grid).spans:
        for moment in (span.start, span.end):
            assert (moment * grid.rate).denominator == 1
            assert 0 <= moment <= grid.end


@given(answers, rules, st.integers(1, 300))
def test_what_is_always_kept_is_there_as_it_is_and_what_is_always_cut_is_not(
    loud: list[bool], rule: Rules, frames: int
) -> None:
    grid = RegularGrid(rate=Fraction(25), frames=frames)
    edits = decide(np.array(loud, dtype=bool), TENTH, rule, grid)
    for number in range(frames):
        moment = (number + Fraction(1, 2)) / grid.rate
        inside = [span for span in edits.spans if span.start <= moment < span.end]
        if any(_covers(each, number, grid) for each in rule.always_keep):
            assert inside
            assert inside[0].plain
        elif any(_covers(each, number, grid) for each in rule.always_cut):
            assert not inside


def _covers(named: Range, number: int, grid: RegularGrid) -> bool:
    end = grid.end if named.end is None else min(named.end, grid.end)
    return named.start < end and grid.nearest(named.start) <= number / grid.rate < grid.nearest(end)


@given(answers)
def test_what_is_loud_and_only_that_is_kept(loud: list[bool]) -> None:
    grid = RegularGrid(rate=Fraction(10), frames=max(1, len(loud)))
    edits = decide(np.array(loud, dtype=bool), TENTH, NOTHING, grid)
    assert [edits.result_time(number * TENTH) is not None for number in range(len(loud))] == loud
    assert edits.taken == sum(loud) * TENTH


def test_a_film_that_is_longer_than_its_sound_is_silent_behind_it() -> None:
    grid = RegularGrid(rate=Fraction(10), frames=50)
    edits = decide(np.ones(20, dtype=bool), TENTH, Rules(silent=Action(speed=Fraction(2))), grid)
    assert [(float(s.start), float(s.end), float(s.speed)) for s in edits.spans] == [(0, 2.2, 1), (2.2, 5, 2)]


def test_sound_behind_the_last_picture_decides_nothing() -> None:
    grid = RegularGrid(rate=Fraction(10), frames=10)
    assert kept(decide(np.ones(100, dtype=bool), TENTH, Rules(), grid)) == [(0, 1)]


def test_always_kept_wins_over_always_cut() -> None:
    rule = Rules(
        always_keep=(Range(start=Fraction(1), end=Fraction(2)),), always_cut=(Range(start=Fraction(0), end=None),)
    )
    grid = RegularGrid(rate=Fraction(10), frames=50)
    assert kept(decide(np.ones(50, dtype=bool), TENTH, rule, grid)) == [(1, 2)]


def test_cuts_of_a_film_of_variable_rate_fall_at_its_own_pictures() -> None:
    grid = FrameGrid([1000, 1040, 1200, 1240, 1900], Fraction(1, 1000), end=2000)
    assert grid.end == 1
    assert [float(grid.nearest(Fraction(ms, 1000))) for ms in (0, 19, 20, 21, 150, 600, 950, 951, 5000)] == [
        *(0, 0, 0, 0.04, 0.2, 0.9, 0.9, 1, 1)
    ]


@given(st.lists(st.integers(0, 10_000), min_size=1, unique=True), st.fractions(0, 12, max_denominator=1000))
def test_the_nearest_boundary_is_the_nearest_of_all(times: list[int], moment: Fraction) -> None:
    unit, end = Fraction(1, 1000), max(times) + 7
    grid = FrameGrid(times, unit, end)
    all_of_them = [(time - min(times)) * unit for time in (*times, end)]
    assert abs(grid.nearest(moment) - moment) == min(abs(time - moment) for time in all_of_them)
