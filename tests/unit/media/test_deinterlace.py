"""Interlaced input: one progressive picture for each interlaced one."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from clips import Clip, make_clip

from coordinator.media.decode import Picture, Reader
from coordinator.media.limits import MediaLimits
from coordinator.media.probe import inspect

TICKS = 90_000
UNEVEN = [0, 3600, 7300, 10_900, 14_400, 18_001, 21_600, 25_200, 28_800, 32_400, 36_000, 39_600]


def make_interlaced(path: Path) -> Path:
    """H.264 64x48, 12 frames at uneven times, a bar that moves from field to field: combs on every edge."""
    with av.open(str(path), "w") as output:
        stream = output.add_stream("libx264", rate=25, options={"crf": "1", "x264-params": "tff=1", "bf": "0"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.time_base = Fraction(1, TICKS)
        stream.codec_context.flags |= 0x40000 | 0x20000000  # interlaced DCT and motion
        for number, pts in enumerate(UNEVEN):
            frame = av.VideoFrame.from_ndarray(_fields(number), format="rgb24").reformat(format="yuv420p")
            frame.pts, frame.time_base = pts, Fraction(1, TICKS)
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return path


def _fields(number: int) -> np.ndarray:
    picture = np.zeros((48, 64, 3), np.uint8)
    for field in (0, 1):
        left = number * 4 + field * 2
        picture[field::2, left : left + 10] = 255
    return picture


def read(path: Path, *, deinterlace: bool = True) -> tuple[list[int], list[np.ndarray], int]:
    facts = inspect(path).video
    with Reader(path, facts, MediaLimits(), deinterlace=deinterlace) as reader:
        pictures = [item for item in reader if isinstance(item, Picture)]
        luma = [picture.frame.to_ndarray(format="gray").astype(int) for picture in pictures]
        stamps = [round(picture.stamp.pts * facts.time_base * TICKS) for picture in pictures]
        return stamps, luma, reader.deinterlaced


def combs(luma: np.ndarray) -> float:
    """How much lines differ from the mean of those above and below."""
    return float(np.abs(luma[1:-1] - (luma[:-2] + luma[2:]) / 2).mean())


def test_every_interlaced_picture_becomes_one_progressive_picture_at_its_time(tmp_path: Path) -> None:
    source = make_interlaced(tmp_path / "in.mp4")
    stamps, progressive, count = read(source)
    as_stored, interlaced, none = read(source, deinterlace=False)
    assert stamps == as_stored == UNEVEN
    assert (count, none) == (12, 0)
    assert inspect(source).video.interlaced
    before, after = (np.mean([combs(luma) for luma in some]) for some in (interlaced, progressive))
    assert before > 8
    assert after < before / 4


def test_progressive_pictures_are_not_touched(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mp4", Clip(frames=10, sounds=()))
    _, with_filter, count = read(source)
    _, without, _ = read(source, deinterlace=False)
    assert count == 0
    assert not inspect(source).video.interlaced
    assert all(np.array_equal(one, other) for one, other in zip(with_filter, without, strict=True))


@pytest.mark.parametrize("codec", ["mpeg2video", "libx264"])
def test_the_last_picture_is_not_lost(tmp_path: Path, codec: str) -> None:
    # one interlaced picture alone: the filter has no neighbour to look at
    path = tmp_path / "in.mkv"
    with av.open(str(path), "w") as output:
        stream = output.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.flags |= 0x40000 | 0x20000000
        frame = av.VideoFrame.from_ndarray(_fields(2), format="rgb24").reformat(format="yuv420p")
        output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    stamps, luma, _ = read(path)
    assert (len(stamps), len(luma)) == (1, 1)
