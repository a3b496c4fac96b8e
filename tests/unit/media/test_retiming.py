"""Which pictures an edit list keeps, and when they are shown."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction

import pytest
from clips import Clip, make_clip

from coordinator.media.probe import VideoFacts, inspect
from coordinator.media.retiming import Retiming
from coordinator.media.timeline import Stamp
from framewire.edits.edit_list import EditList, Span


@pytest.fixture(scope="module")
def facts(tmp_path_factory: pytest.TempPathFactory) -> VideoFacts:
    """Of a film of 250 pictures, 25 a second, counted in 1/12800 s from 0."""
    film = inspect(make_clip(tmp_path_factory.mktemp("facts") / "in.mp4", Clip(frames=5, sounds=()))).video
    return replace(film, frames=250, time_base=Fraction(1, 12_800), rate=Fraction(25), first_pts=0)


def span(start: str, end: str, speed: str = "1") -> Span:
    return Span(start=Fraction(start), end=Fraction(end), speed=Fraction(speed))


def kept(timing: Retiming, stamps: Sequence[Stamp]) -> list[tuple[int, Fraction]]:
    """Numbers of the pictures that are kept, and when they are shown."""
    found, before = [], None
    for number, stamp in enumerate(stamps):
        shown = timing.stamp(stamp, before)
        before = stamp
        if shown is not None:
            found.append((number, shown.pts * timing.facts.time_base))
    return found


def regular(facts: VideoFacts, count: int = 250) -> list[Stamp]:
    step = round(1 / (facts.time_base * 25))
    return [Stamp(pts=facts.first_pts + number * step, duration=step) for number in range(count)]


def test_kept_pictures_are_shown_when_the_list_says(facts: VideoFacts) -> None:
    edits = EditList([span("1", "2"), span("3.2", "4.4"), span("9", "100")])
    found = kept(Retiming(edits, facts), regular(facts))
    assert [number for number, _ in found] == [*range(25, 50), *range(80, 110), *range(225, 250)]
    assert [time for _, time in found] == [edits.result_time(Fraction(number, 25)) for number, _ in found]


def test_a_picture_that_begins_before_a_span_is_not_in_it(facts: VideoFacts) -> None:
    edits = EditList([span("1.01", "1.99"), span("3.03", "3.97")])
    found = kept(Retiming(edits, facts), regular(facts))
    assert [number for number, _ in found] == [*range(26, 50), *range(76, 100)]
    for number, time in found:
        assert abs(time - (edits.result_time(Fraction(number, 25)) or 0)) < facts.time_base


def test_milliseconds_of_a_container_move_no_picture_over_a_cut(facts: VideoFacts) -> None:
    # 30000/1001 pictures a second as Matroska counts them; cuts at exact boundaries
    rate = Fraction(30_000, 1001)
    rounded = replace(facts, time_base=Fraction(1, 1000), rate=rate, frames=300)
    stamps = [Stamp(pts=round(number / rate * 1000), duration=33) for number in range(300)]
    spans = [Span(start=number / rate, end=(number + 10) / rate) for number in range(0, 290, 20)]
    found = kept(Retiming(EditList(spans), rounded), stamps)
    assert [number for number, _ in found] == [number for number in range(300) if number % 20 < 10]


@pytest.mark.parametrize(("speed", "count"), [("2", 50), ("4", 25), ("8", 13), ("1.5", 67), ("1", 100), ("0.5", 100)])
def test_a_faster_part_has_no_more_pictures_a_second_than_the_film(facts: VideoFacts, speed: str, count: int) -> None:
    edits = EditList([span("2", "6", speed)])
    found = kept(Retiming(edits, facts), regular(facts))
    assert abs(len(found) - count) <= 1
    times = [time for _, time in found]
    assert all(
        time == (Fraction(number, 25) - 2) / Fraction(speed)
        or abs(time - (Fraction(number, 25) - 2) / Fraction(speed)) < Fraction(1, 12_800)
        for number, time in found
    )
    assert times == sorted(set(times))
    if Fraction(speed) > 1:
        assert max(b - a for a, b in itertools.pairwise(times)) <= Fraction(2, 25)


def test_which_pictures_of_a_faster_part_are_kept_does_not_depend_on_where_a_run_begins(facts: VideoFacts) -> None:
    edits, stamps = EditList([span("0.5", "9.5", "3")]), regular(facts)
    whole = kept(Retiming(edits, facts), stamps)
    for begin in (20, 57, 133):
        timing, before, found = Retiming(edits, facts), stamps[begin - 1], []
        for number, stamp in enumerate(stamps[begin:], begin):
            shown = timing.stamp(stamp, before)
            before = stamp
            if shown is not None:
                found.append((number, shown.pts * timing.facts.time_base))
        assert found == [each for each in whole if each[0] >= begin]


def test_a_coarse_time_base_becomes_fine_enough_for_any_speed(facts: VideoFacts) -> None:
    coarse = replace(facts, time_base=Fraction(1, 25))
    edits = EditList([span("0", "2", "0.7")])
    timing = Retiming(edits, coarse)
    assert timing.facts.time_base <= Fraction(1, 10_000)
    for number, time in kept(timing, [Stamp(pts=number, duration=1) for number in range(50)]):
        assert abs(time - Fraction(number, 25) / Fraction("0.7")) < Fraction(1, 10_000)


def test_expected_frames_are_those_that_come(facts: VideoFacts) -> None:
    for edits in (
        EditList([span("0", "1"), span("2", "3", "2"), span("5", "200")]),
        EditList([span("0", "4", "0.5")]),
        EditList([span("9", "200", "4")]),
    ):
        timing = Retiming(edits, facts)
        assert abs(timing.facts.frames - len(kept(timing, regular(facts)))) <= 1


def test_the_film_may_begin_anywhere(facts: VideoFacts) -> None:
    late, edits = replace(facts, first_pts=-5000), EditList([span("1", "2"), span("4", "5")])
    timing = Retiming(edits, late)
    assert kept(timing, regular(late)) == kept(Retiming(edits, facts), regular(facts))
    assert timing(Fraction(-5000, 12_800) + Fraction(9, 2)) == Fraction(3, 2)
    assert timing(Fraction(-5000, 12_800) + 3) == 1  # cut: comes at the join
    assert not timing.keeps(Fraction(-5000, 12_800) + 3)
