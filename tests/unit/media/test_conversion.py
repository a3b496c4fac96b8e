"""The ways conversions take for speed give the bits of the plain ones."""

from __future__ import annotations

import numpy as np
import pytest
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Interpolation, VideoReformatter
from numpy.typing import NDArray

from coordinator.media.colour import Colour, Converter
from coordinator.media.siting import Siting

PLAIN = Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.BITEXACT
FORMATS = [
    *("yuv420p", "yuv422p", "yuv444p", "yuv440p", "yuv411p", "nv12", "yuyv422", "yuva420p", "gray", "yuvj420p"),
    *("yuv420p10le", "yuv422p12le", "p010le", "gray10le"),
]
SIZES = [((64, 48), (64, 48)), ((35, 21), (35, 21)), ((1, 1), (1, 1)), ((640, 36), (640, 36)), ((64, 48), (96, 30))]


def colour(*, tag: int = 6, limits: int = 1, place: str = "left") -> Colour:
    return Colour(tag=tag, range=limits, primaries=2, transfer=2, place=place)


def noise(pixel_format: str, width: int, height: int) -> VideoFrame:
    """A picture with a random value in every sample its format has room for."""
    frame, rng = VideoFrame(width, height, pixel_format), np.random.default_rng(width)
    bits = frame.format.components[0].bits
    for plane in frame.planes:
        if bits == 8:
            plane.update(rng.integers(0, 256, plane.buffer_size, dtype=np.uint8).tobytes())
        else:
            samples = rng.integers(0, 1 << bits, plane.buffer_size // 2, dtype=np.uint16)
            plane.update((samples << (16 - bits if pixel_format.startswith("p0") else 0)).tobytes())
    return frame


def samples(frame: VideoFrame) -> list[NDArray[np.uint8]]:
    """Each plane's bytes, without those behind the end of a row."""
    step = {"rgb24": 3, "yuv420p": 1}.get(frame.format.name, 2)
    return [
        np.frombuffer(memoryview(plane), np.uint8).reshape(plane.height, -1)[:, : plane.width * step].copy()
        for plane in frame.planes
    ]


@pytest.mark.parametrize("limits", [1, 2], ids=["limited", "full"])
@pytest.mark.parametrize("pixel_format", FORMATS)
def test_rgb_by_way_of_planes_has_the_bits_of_packed_rgb(pixel_format: str, limits: int) -> None:
    for tag, place in ((1, "left"), (6, "center"), (9, "topleft")):
        of = colour(tag=tag, limits=limits, place=place)
        for size, (width, height) in SIZES:
            frame = noise(pixel_format, *size)
            packed = VideoReformatter().reformat(
                Siting(place).set(frame),
                width=width,
                height=height,
                format="rgb24",
                src_colorspace=of.matrix,
                src_color_range=limits,
                dst_color_range=ColorRange.JPEG,
                interpolation=PLAIN | Interpolation.FULL_CHR_H_INT,
                threads=1,
            )
            found = Converter(of).to_rgb(frame, width, height)
            assert found.format.name == "rgb24"
            np.testing.assert_array_equal(samples(packed)[0], samples(found)[0])


@pytest.mark.parametrize("limits", [1, 2], ids=["limited", "full"])
@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuv420p10le", "yuv420p12le"])
def test_yuv_of_rgb_has_the_bits_of_accurate_rounding(pixel_format: str, limits: int) -> None:
    for tag, place in ((1, "left"), (6, "center"), (9, "topleft")):
        of = colour(tag=tag, limits=limits, place=place)
        for (width, height), _ in SIZES:
            frame = noise("rgb24", width, height)
            plain = VideoReformatter().reformat(
                Siting(place).set(frame),
                format=pixel_format,
                src_color_range=ColorRange.JPEG,
                dst_colorspace=of.matrix,
                dst_color_range=limits,
                interpolation=PLAIN,
                threads=1,
            )
            for expected, found in zip(
                samples(plain), samples(Converter(of)._converted(frame, pixel_format)), strict=True
            ):
                np.testing.assert_array_equal(expected, found)
