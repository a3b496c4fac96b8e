"""Frames that are the same as the one before: shown again, not inferred again."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from clips import Clip, make_clip, moving_square, read_clip
from jobs import enhance, pipeline, server_with
from numpy.typing import NDArray

import coordinator.feed
from coordinator.media.same import checksum, same_picture
from coordinator.order import Result
from framewire.testing.inference import FakeInferenceServer

SCREEN = Clip(width=96, height=64, frames=150, rate=Fraction(30), sounds=(), options=(("qp", "0"), ("preset", "fast")))
"""Five seconds of a screen recording, lossless H.264 at 30 fps; see `screen`."""


def screen(clip: Clip, number: int) -> NDArray[np.uint8]:
    """Changes five times a second."""
    return moving_square(clip, number // 6)


class Counting(FakeInferenceServer):
    """Counts the frames it is sent."""

    def __init__(self) -> None:
        super().__init__(list(server_with(2)._models.values()))
        self.frames = 0

    def infer(self, *args: object, frames: int, **options: object) -> object:  # type: ignore[override]  # passes all on
        self.frames += frames
        return super().infer(*args, frames=frames, **options)  # type: ignore[arg-type]


def run(source: Path, target: Path, server: Counting) -> Result:
    return pipeline(source, target, server, enhance("x2")).run()


def test_a_screen_recording_takes_a_quarter_of_the_inference_and_looks_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = make_clip(tmp_path / "in.mp4", SCREEN, screen)
    frugal, naive = Counting(), Counting()
    result = run(source, tmp_path / "frugal.mp4", frugal)
    monkeypatch.setattr(coordinator.feed, "same_picture", lambda *_: False)
    assert run(source, tmp_path / "naive.mp4", naive).held == 0
    assert naive.frames == 150
    assert frugal.frames <= 0.25 * naive.frames
    assert frugal.requests <= 0.25 * naive.requests
    assert (result.inferred, result.held) == (frugal.frames, 150 - frugal.frames)
    one, other = read_clip(tmp_path / "frugal.mp4"), read_clip(tmp_path / "naive.mp4")
    assert one.video_pts == other.video_pts
    assert np.array_equal(one.pictures, other.pictures)


def test_a_picture_that_never_changes_is_inferred_once_a_unit(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mp4", SCREEN, lambda clip, _: moving_square(clip, 0))
    server = Counting()
    result = run(source, tmp_path / "out.mp4", server)
    assert server.frames == len(result.units)
    assert result.frames_out == 150


def test_one_changed_sample_makes_another_picture() -> None:
    for name in ("yuv420p", "yuv420p10le", "nv12", "rgb24", "gray", "yuyv422", "gbrp"):
        one, other = av.VideoFrame(66, 50, name), av.VideoFrame(66, 50, name)
        for frame in (one, other):
            for plane in frame.planes:
                np.frombuffer(memoryview(plane), np.uint8)[:] = 7
        assert same_picture(one, other), name
        assert checksum(one) == checksum(other)
        last = other.planes[-1]
        lines = np.frombuffer(memoryview(last), np.uint8).reshape(last.height, last.line_size)
        lines[-1, last.width - 1] = 8
        assert not same_picture(one, other), name
        assert checksum(one) != checksum(other)


def test_what_pads_a_line_does_not_count() -> None:
    one, other = av.VideoFrame(66, 50, "yuv420p"), av.VideoFrame(66, 50, "yuv420p")
    for frame, filling in ((one, 1), (other, 2)):
        for plane in frame.planes:
            lines = np.frombuffer(memoryview(plane), np.uint8).reshape(plane.height, plane.line_size)
            lines[:, plane.width :] = filling
            lines[:, : plane.width] = 100
    assert same_picture(one, other)
    assert checksum(one) == checksum(other)


def test_pictures_of_different_kinds_are_not_the_same() -> None:
    frame = av.VideoFrame(64, 48, "yuv420p")
    assert not same_picture(frame, av.VideoFrame(64, 48, "yuv422p"))
    assert not same_picture(frame, av.VideoFrame(64, 46, "yuv420p"))
