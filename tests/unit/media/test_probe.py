"""What people are told of a file."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest
from clips import Clip, Sound, make_clip

from coordinator.media.probe import inspect, probe, rotation


def test_probing_tells_size_rate_and_length(tmp_path: Path) -> None:
    clip = Clip(width=96, height=64, frames=50, rate=Fraction(25), sounds=(Sound(layout="5.1"),))
    info = probe(make_clip(tmp_path / "film.mp4", clip))
    video = info.video
    assert (video.codec, video.width, video.height, video.fps, video.frames) == ("h264", 96, 64, 25.0, 50)
    assert video.pixel_format == "yuv420p"
    assert info.duration == pytest.approx(2.0, abs=0.03)
    (audio,) = info.audio
    assert (audio.codec, audio.sample_rate, audio.channels) == ("aac", 48_000, 6)
    assert audio.duration == pytest.approx(2.0, abs=0.03)


def test_frames_are_estimated_where_the_container_does_not_count(tmp_path: Path) -> None:
    facts = inspect(make_clip(tmp_path / "film.mkv", Clip(frames=50))).video
    assert abs(facts.frames - 50) <= 1


@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
def test_rotation_is_told_clockwise(tmp_path: Path, degrees: int) -> None:
    assert probe(make_clip(tmp_path / "film.mp4", Clip(frames=2, rotation=degrees))).video.rotation == degrees


def test_a_mirrored_picture_is_not_taken_for_a_turned_one() -> None:
    one = 1 << 16
    assert rotation((-one, 0, 0, 0, one, 0, 0, 0, 1 << 30)) == 180
    assert rotation((one, 0, 0, 0, -one, 0, 0, 0, 1 << 30)) == 0
    assert rotation(None) == 0


def test_untagged_colours_are_taken_as_players_take_them(tmp_path: Path) -> None:
    small = inspect(make_clip(tmp_path / "sd.mp4", Clip(frames=1, height=480, sounds=()))).video
    large = inspect(make_clip(tmp_path / "hd.mp4", Clip(frames=1, height=720, sounds=()))).video
    assert (small.colour.tag, large.colour.tag) == (6, 1)
    assert small.colour.range == 1


def test_more_than_eight_bits_are_noticed(tmp_path: Path) -> None:
    clip = Clip(frames=2, codec="libx265", pixel_format="yuv420p10le", options=(("x265-params", "log-level=none"),))
    assert inspect(make_clip(tmp_path / "deep.mp4", clip)).video.deep
