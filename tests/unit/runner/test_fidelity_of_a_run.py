"""What a whole run keeps of deep, bright and interlaced films, and how close the picture stays to the input's."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

import av
import numpy as np
import pytest
from clips import Clip, make_clip
from jobs import BEST, enhance, pipeline, server_with
from numpy.typing import NDArray

from coordinator.media.probe import inspect
from coordinator.order import Result

sys.path.insert(0, str(Path(__file__).parents[1] / "media"))

from test_deinterlace import make_interlaced  # the clips of the neighbours
from test_depth import make_deep

CODECS = ["h264", "hevc", "av1"]


def run(source: Path, target: Path, codec: str = "h264", *, model: str = "x1", depth: int = 0) -> Result:
    settings = dataclasses.replace(BEST, codec=codec, depth=depth)
    return pipeline(source, target, server_with(1, 2), enhance(model), settings=settings).run()


def planes(path: Path) -> list[list[NDArray[np.int64]]]:
    with av.open(str(path)) as container:
        return [[_samples(plane, frame) for plane in frame.planes] for frame in container.decode(video=0)]


def _samples(plane: av.video.plane.VideoPlane, frame: av.VideoFrame) -> NDArray[np.int64]:
    kind = np.uint16 if frame.format.components[0].bits > 8 else np.uint8
    return np.frombuffer(memoryview(plane), kind).reshape(plane.height, -1)[:, : plane.width].astype(int)


@pytest.mark.parametrize("codec", CODECS)
def test_ten_bits_and_hdr_go_through_a_whole_run_bit_for_bit(tmp_path: Path, codec: str) -> None:
    # lossless 10-bit BT.2020 PQ with its grading screen, a model that changes nothing, lossless out
    source = make_deep(tmp_path / "in.mp4", hdr=True)
    result = run(source, tmp_path / "out.mp4", codec)
    before, after = inspect(source).video, inspect(tmp_path / "out.mp4").video
    assert (after.depth, after.colour, after.light) == (10, before.colour, before.light)
    assert before.mastering
    assert after.mastering
    assert float(after.mastering.brightest) == pytest.approx(float(before.mastering.brightest))
    assert result.remarks == ()
    for one, other in zip(planes(source), planes(tmp_path / "out.mp4"), strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def test_eight_bits_on_request_are_said(tmp_path: Path) -> None:
    result = run(make_deep(tmp_path / "in.mp4"), tmp_path / "out.mp4", depth=8)
    assert inspect(tmp_path / "out.mp4").video.depth == 8
    assert "the picture was reduced from 10 to 8 bits a sample" in result.remarks


def test_an_interlaced_film_comes_out_progressive_and_it_is_said(tmp_path: Path) -> None:
    source = make_interlaced(tmp_path / "in.mp4")
    result = run(source, tmp_path / "out.mp4")
    assert (result.frames_in, result.frames_out) == (12, 12)
    assert not inspect(tmp_path / "out.mp4").video.interlaced
    assert any("interlaced" in remark for remark in result.remarks)


def test_a_run_looks_at_every_frame(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mp4", Clip(frames=30, sounds=()))
    result = run(source, tmp_path / "out.mp4", model="x2")
    checks = {name: count for name, count in result.counters.items() if name.startswith("checks.")}
    assert checks.pop("checks.frames") == 30
    assert set(checks.values()) == {0}
