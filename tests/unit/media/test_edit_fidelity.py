"""A result beside its edit list: two ways to calculate the times agree, and what is wrong is seen."""

from __future__ import annotations

import random
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from clips import Clip, make_clip

from coordinator.media.edit_fidelity import EditComparison, Pictures
from coordinator.media.probe import VideoFacts, inspect
from coordinator.media.retiming import Retiming
from coordinator.media.timeline import Stamp
from framewire.edits.edit_list import EditList, Span

FRAMES = 400


@pytest.fixture(scope="module")
def facts(tmp_path_factory: pytest.TempPathFactory) -> VideoFacts:
    film = inspect(make_clip(tmp_path_factory.mktemp("facts") / "in.mp4", Clip(frames=5, sounds=()))).video
    return replace(film, frames=FRAMES)


def film_of(facts: VideoFacts) -> Pictures:
    rate = facts.rate or Fraction(25)
    pts = [facts.first_pts + round(number / rate / facts.time_base) for number in range(FRAMES)]
    lengths = np.full(FRAMES, round(1 / rate / facts.time_base))
    return Pictures(pts=np.array(pts), lengths=lengths, unit=facts.time_base)


def made_of(film: Pictures, timing: Retiming) -> Pictures:
    """What a run would write."""
    shown, before = [], None
    for pts, length in zip(film.pts.tolist(), film.lengths.tolist(), strict=True):
        stamp = Stamp(pts=pts, duration=length)
        placed, before = timing.stamp(stamp, before), stamp
        if placed is not None:
            shown.append(placed.pts)
    return Pictures(pts=np.array(shown, np.int64), lengths=np.ones(len(shown), np.int64), unit=timing.facts.time_base)


def any_list(chance: random.Random) -> EditList:
    spans, position = [], Fraction(0)
    while position < 15:
        start = position + Fraction(chance.randrange(40), 25)
        end = start + Fraction(chance.randrange(1, 80), chance.choice([7, 25, 30]))
        speed = chance.choice([Fraction(1), Fraction(2), Fraction(4), Fraction(8), Fraction(3, 2), Fraction(1, 2)])
        spans.append(Span(start=start, end=end, speed=speed))
        position = end
    return EditList(spans)


@pytest.mark.parametrize("seed", range(30))
def test_two_ways_to_calculate_times_agree(facts: VideoFacts, seed: int) -> None:
    chance = random.Random(seed)
    film_facts = replace(
        facts,
        time_base=chance.choice([Fraction(1, 1000), Fraction(1, 12_800), Fraction(1, 90_000)]),
        rate=chance.choice([Fraction(24), Fraction(25), Fraction(30_000, 1001)]),
        first_pts=chance.choice([-300, 0, 5000]),
    )
    timing, film = Retiming(any_list(chance), film_facts), film_of(film_facts)
    result = made_of(film, timing)
    found = EditComparison(timing, film, result)
    assert found.report.frames_expected == len(result.pts) > 0
    assert found.report.frames_expected + found.report.frames_cut + found.report.frames_surplus == FRAMES
    assert found.timing().kept


def test_a_missing_a_doubled_and_a_moved_picture_are_seen(facts: VideoFacts) -> None:
    timing, film = Retiming(EditList([Span(start=Fraction(1), end=Fraction(3))]), facts), film_of(facts)
    right = made_of(film, timing)

    def verdict(pts: list[int]) -> tuple[bool, str]:
        tag = EditComparison(timing, film, replace(right, pts=np.array(pts))).timing()
        return tag.kept, tag.after

    shown = right.pts.tolist()
    assert verdict(shown) == (True, "as the list of what is kept says")
    assert verdict(shown[:7] + shown[8:]) == (False, "49 frames")
    assert verdict([*shown[:8], shown[7], *shown[8:]]) == (False, "51 frames")
    step = shown[1] - shown[0]
    assert verdict([*shown[:7], shown[7] + step // 2, *shown[8:]]) == (False, "off by at most 20.000 ms")


def test_sound_that_is_off_behind_a_join_is_seen(facts: VideoFacts) -> None:
    spans = [Span(start=Fraction(1), end=Fraction(2)), Span(start=Fraction(5), end=Fraction(6))]
    timing, film = Retiming(EditList(spans), facts), film_of(facts)
    right = made_of(film, timing)
    late = right.pts.copy()
    late[25:] += round(Fraction(1, 50) / right.unit)
    assert EditComparison(timing, film, right).report.largest_offset_ms == 0
    assert EditComparison(timing, film, replace(right, pts=late)).report.largest_offset_ms == pytest.approx(20, abs=0.1)
