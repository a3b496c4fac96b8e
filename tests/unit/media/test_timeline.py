"""Time stamps."""

from __future__ import annotations

from fractions import Fraction

from coordinator.media.timeline import Stamp, Timeline


def test_stamps_that_grow_are_left_alone() -> None:
    timeline = Timeline(Fraction(1, 1000), Fraction(25))
    stamps = [timeline.stamp(pts, 1) for pts in (-5, 0, 1, 700)]
    assert [stamp.pts for stamp in stamps] == [-5, 0, 1, 700]
    assert timeline.repaired == 0


def test_a_missing_stamp_follows_the_frame_before() -> None:
    timeline = Timeline(Fraction(1, 1000), Fraction(25))
    assert timeline.stamp(None, 0) == Stamp(pts=0, duration=0)
    assert timeline.stamp(None, 0).pts == 40  # one frame at 25 fps
    assert timeline.stamp(None, 60).pts == 80
    assert timeline.stamp(None, 0).pts == 140  # after the 60 ms that one said it lasts
    assert timeline.repaired == 4


def test_stamps_never_stand_still_or_go_back() -> None:
    timeline = Timeline(Fraction(1, 1000), None)
    assert [timeline.stamp(pts, 0).pts for pts in (10, 10, 5, 20)] == [10, 11, 12, 20]
    assert timeline.repaired == 2
