"""Films that change on the way, and films that just end: the picture stays right, and it is said."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import av
import numpy as np
import pytest
from clips import Clip, make_clip, read_clip, truncate
from jobs import BEST, enhance, pipeline, server_with

from coordinator.order import Result

FIRST = Clip(frames=10, codec="libvpx-vp9", options=(("lossless", "1"),), sounds=(), colorspace=5, color_range=1)
"""VP9, whose key frames name size, matrix and range."""


def joined(path: Path, *parts: Path) -> Path:
    """The films' packets one after the other in one track."""
    with av.open(str(path), "w") as output:
        track, start = None, 0
        for part in parts:
            with av.open(str(part)) as film:
                track = track or output.add_stream_from_template(film.streams.video[0], opaque=True)
                packets = [packet for packet in film.demux(film.streams.video[0]) if packet.size]
                for packet in packets:
                    packet.pts, packet.dts = (packet.pts or 0) + start, (packet.dts or 0) + start
                    packet.stream = track
                    output.mux(packet)
                start += len(packets) * 40
    return path


def flat(clip: Clip, number: int) -> np.ndarray:
    """One saturated colour, another in every picture so that none repeats the one before."""
    return np.full((clip.height, clip.width, 3), (200 - number, 60, 40), np.uint8)


def run(source: Path, target: Path) -> Result:
    settings = dataclasses.replace(BEST, codec="h264")
    return pipeline(source, target, server_with(1, 2), enhance("x1"), settings=settings).run()


def test_a_film_that_changes_its_size_keeps_the_first_and_it_is_said(tmp_path: Path) -> None:
    larger = dataclasses.replace(FIRST, width=96, height=80)
    parts = make_clip(tmp_path / "a.mkv", FIRST), make_clip(tmp_path / "b.mkv", larger)
    result = run(joined(tmp_path / "in.mkv", *parts), tmp_path / "out.mp4")
    assert (result.frames_in, result.frames_out) == (20, 20)
    assert "pictures of another size than the first were scaled to 64x48" in result.remarks
    assert {picture.shape for picture in read_clip(tmp_path / "out.mp4").pictures} == {(48, 64, 3)}


def test_a_film_that_changes_its_colours_is_shown_in_the_right_ones_and_it_is_said(tmp_path: Path) -> None:
    other = dataclasses.replace(FIRST, colorspace=1, color_range=2)
    parts = make_clip(tmp_path / "a.mkv", FIRST, flat), make_clip(tmp_path / "b.mkv", other, flat)
    result = run(joined(tmp_path / "in.mkv", *parts), tmp_path / "out.mp4")
    assert "pictures of another colour matrix or range than the first were converted to those" in result.remarks
    shown = read_clip(tmp_path / "out.mp4").pictures
    assert len(shown) == 20
    for number, picture in enumerate(shown):
        assert picture.reshape(-1, 3).mean(axis=0) == pytest.approx((200 - number % 10, 60, 40), abs=4)


def test_a_film_that_stays_as_it_is_gets_no_remark(tmp_path: Path) -> None:
    assert run(make_clip(tmp_path / "in.mkv", FIRST), tmp_path / "out.mp4").remarks == ()


def test_a_matroska_file_whose_end_is_missing_is_said_to_break_off(tmp_path: Path) -> None:
    # its demuxer takes the end of the file for the end of the film
    source = truncate(make_clip(tmp_path / "in.mkv", Clip(frames=50, sounds=())), 0.6)
    result = run(source, tmp_path / "out.mp4")
    assert 0 < result.frames_out < 50
    assert "the file breaks off in the middle; the result ends there" in result.remarks
