"""Where chroma lies: found in the stream, the same on the way to RGB and back."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from coordinator.media.colour import Converter
from coordinator.media.decode import Picture, Reader
from coordinator.media.limits import MediaLimits
from coordinator.media.probe import inspect


def make(path: Path, codec: str, params: str = "") -> Path:
    """Three 128x96 pictures with fine waves of colour, as good as the codec can."""
    options = {f"{codec.removeprefix('lib')}-params": params} if params else {}
    quality = {"libx264": {"qp": "0"}, "libx265": {"crf": "2"}, "libvpx-vp9": {"lossless": "1"}}
    with av.open(str(path), "w") as output:
        stream = output.add_stream(
            codec, rate=25, options={**quality.get(codec, {"qmin": "1", "qmax": "1"}), **options}
        )
        stream.width, stream.height = 128, 96
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        if codec == "mjpeg":
            stream.codec_context.color_range = 2
        for number in range(3):
            frame = av.VideoFrame(128, 96, stream.pix_fmt)
            for index, plane in enumerate(frame.planes):
                y, x = np.mgrid[0 : plane.height, 0 : plane.width]
                wave = 128 + 30 * np.sin(x / 3 + index + number) * np.cos(y / 4) if index else 120 + x / 4
                _samples(plane)[...] = np.rint(wave)
            frame.pts, frame.time_base = number, Fraction(1, 25)
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return path


def _samples(plane: av.video.plane.VideoPlane) -> NDArray[np.uint8]:
    return np.frombuffer(memoryview(plane), np.uint8).reshape(plane.height, -1)[:, : plane.width]


@pytest.mark.parametrize(
    ("codec", "params", "place"),
    [
        ("libx264", "", "left"),
        ("libx264", "chromaloc=2", "topleft"),
        ("libx265", "chromaloc=1:log-level=none", "left"),  # a centre that is declared cannot be told from none
        ("libx265", "chromaloc=2:log-level=none", "topleft"),
        ("libvpx-vp9", "", "left"),
        ("mpeg4", "", "left"),
        ("mjpeg", "", "center"),
    ],
)
def test_the_place_of_chroma_is_found_in_the_stream(tmp_path: Path, codec: str, params: str, place: str) -> None:
    assert inspect(make(tmp_path / "in.mkv", codec, params)).video.colour.place == place


@pytest.mark.parametrize(
    ("codec", "params"), [("libx264", ""), ("libx264", "chromaloc=2"), ("mpeg4", ""), ("mjpeg", "")]
)
def test_colours_do_not_move_on_the_way_to_rgb_and_back(tmp_path: Path, codec: str, params: str) -> None:
    source = make(tmp_path / "in.mkv", codec, params)
    facts = inspect(source).video
    back = Converter(facts.colour)
    with Reader(source, facts, MediaLimits()) as reader:
        for picture in (item for item in reader if isinstance(item, Picture)):
            slot = np.zeros((96, 128, 3), np.uint8)
            picture.write_rgb(slot, 128, 96)
            result = back.to_yuv(av.VideoFrame.from_numpy_buffer(slot, "rgb24"))
            for before, after in zip(picture.frame.planes, result.planes, strict=True):
                error = np.abs(_samples(before).astype(int) - _samples(after))[4:-4, 4:-4]
                assert error.mean() < 0.2  # a quarter of a pixel off would be about 1
                assert error.max() <= 2
