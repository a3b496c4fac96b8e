"""Time stamps."""

from __future__ import annotations

import itertools
from fractions import Fraction
from pathlib import Path

import av
from clips import Clip, make_clip

from coordinator.media.decode import Picture, Reader
from coordinator.media.limits import MediaLimits
from coordinator.media.probe import inspect
from coordinator.media.timeline import Stamp, Timeline

REORDERED = Clip(frames=50, sounds=(), options=(("preset", "medium"), ("bf", "2")))


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


def test_a_time_that_runs_back_is_not_believed_from_there_on() -> None:
    timeline = Timeline(Fraction(1, 25), Fraction(25))
    told = [timeline.told(pts, dts) for pts, dts in ((1, 1), (2, 2), (1, 3), (6, 4), (5, 5), (7, None))]
    assert told == [1, 2, 3, 4, 5, None]
    assert timeline.repaired == 2


def test_times_that_only_look_early_are_believed() -> None:
    timeline = Timeline(Fraction(1, 90_000), Fraction(25))
    assert [timeline.told(pts, dts) for pts, dts in ((0, -7200), (3700, -3600), (7100, 0))] == [0, 3700, 7100]
    assert timeline.repaired == 0


def read(path: Path) -> tuple[list[int], int, int]:
    """pts of all pictures, how many were repaired, and what the first is said to be."""
    facts = inspect(path).video
    with Reader(path, facts, MediaLimits()) as reader:
        return (
            [item.stamp.pts for item in reader if isinstance(item, Picture)],
            reader.timeline.repaired,
            facts.first_pts,
        )


def test_reordered_pictures_of_avi_come_in_even_steps(tmp_path: Path) -> None:
    # H.264 with B-frames in AVI, which has no place for the time of showing: what FFmpeg makes up runs back and forth
    pts, repaired, first = read(make_clip(tmp_path / "in.avi", REORDERED))
    assert pts == list(range(first, first + 50))
    assert repaired == 0


def test_a_file_that_passes_decoding_off_as_showing_comes_in_even_steps(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "right.mp4", REORDERED)
    with av.open(str(source)) as right, av.open(str(tmp_path / "in.mp4"), "w") as output:
        copy = output.add_stream_from_template(right.streams.video[0], opaque=True)
        for packet in right.demux(right.streams.video[0]):
            if packet.size:
                packet.pts, packet.stream = packet.dts, copy
                output.mux(packet)
    pts, repaired, _ = read(tmp_path / "in.mp4")
    steps = {after - before for before, after in itertools.pairwise(pts[5:])}
    assert steps == {512}
    assert repaired > 0
