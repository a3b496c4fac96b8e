"""Ten bits around models that see eight."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from clips import Clip, make_clip
from numpy.typing import NDArray

from coordinator.media.colour import Converter
from coordinator.media.decode import Picture, Reader
from coordinator.media.hdr import ContentLight, MasteringDisplay
from coordinator.media.limits import MediaLimits
from coordinator.media.probe import inspect

GRADED_ON = "G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,1)"


def make_deep(path: Path, *, full: bool = False, pixel_format: str = "yuv420p10le", hdr: bool = False) -> Path:
    """Lossless 10-bit H.264 of 96x64, 3 frames: slow gradients, finer than 8 bits can tell."""
    params = f"mastering-display={GRADED_ON}:cll=1000,400" if hdr else ""
    with av.open(str(path), "w") as output:
        options = {"qp": "0", "preset": "ultrafast", "x264-params": params}
        stream = output.add_stream("libx264", rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = 96, 64, pixel_format
        context = stream.codec_context
        context.colorspace, context.color_range, context.color_primaries = 9, 2 if full else 1, 9
        context.color_trc = 16
        for number in range(3):
            frame = av.VideoFrame(96, 64, pixel_format)
            for index, plane in enumerate(frame.planes):
                _samples(plane)[...] = _gradient(plane.height, plane.width, index, number)
            frame.pts, frame.time_base = number, Fraction(1, 25)
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return path


def _samples(plane: av.video.plane.VideoPlane) -> NDArray[np.uint16]:
    return np.frombuffer(memoryview(plane), np.uint16).reshape(plane.height, -1)[:, : plane.width]


def _gradient(height: int, width: int, plane: int, number: int) -> NDArray[np.uint16]:
    y, x = np.mgrid[0:height, 0:width]
    values = 420 + 60 * x / width + 40 * np.sin(y / 20 + number) if plane == 0 else 500 + 24 * y / height + 4 * plane
    return np.rint(values).astype(np.uint16)


def turned_back(path: Path, *, scale: int = 1, carry: bool = True) -> list[tuple[list[NDArray], list[NDArray]]]:
    """Pictures as they are in the file, and what a model that repeats pixels makes of them."""
    facts = inspect(path).video
    back = Converter(facts.colour)
    pairs = []
    with Reader(path, facts, MediaLimits()) as reader:
        for picture in (item for item in reader if isinstance(item, Picture)):
            slot = np.zeros((facts.height, facts.width, 3), np.uint8)
            detail = picture.write_rgb(slot, facts.width, facts.height)
            larger = np.ascontiguousarray(slot.repeat(scale, 0).repeat(scale, 1))
            result = back.to_yuv(av.VideoFrame.from_numpy_buffer(larger, "rgb24"), depth=10)
            assert detail is not None
            if carry:
                detail.add_to(result, scale)
            before = picture.frame.reformat(format="yuv420p10le")
            pairs.append(tuple([_samples(plane).astype(int) for plane in each.planes] for each in (before, result)))
    return pairs


def worst(pairs: list[tuple[list[NDArray], list[NDArray]]]) -> int:
    return max(int(np.abs(a - b).max()) for before, after in pairs for a, b in zip(before, after, strict=True))


@pytest.mark.parametrize("pixel_format", ["yuv420p10le", "yuv422p10le"])
@pytest.mark.parametrize("full", [False, True])
def test_ten_bits_come_back_bit_for_bit_when_the_model_changes_nothing(
    tmp_path: Path, full: bool, pixel_format: str
) -> None:
    source = make_deep(tmp_path / "in.mp4", full=full, pixel_format=pixel_format)
    assert inspect(source).video.depth == 10
    assert worst(turned_back(source)) == 0
    assert worst(turned_back(source, carry=False)) >= 2  # what 8 bits alone lose of it


def test_an_enlarged_gradient_has_no_bands(tmp_path: Path) -> None:
    source = make_deep(tmp_path / "in.mp4")

    def steps(carry: bool) -> int:
        """Different levels of luma along a line."""
        return len(np.unique(turned_back(source, scale=2, carry=carry)[0][1][0][30]))

    assert steps(carry=True) > 1.5 * steps(carry=False)


def test_eight_bit_pictures_carry_nothing(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mp4", Clip(frames=1, sounds=()))
    facts = inspect(source).video
    assert facts.depth == 8
    with Reader(source, facts, MediaLimits()) as reader:
        picture = next(item for item in reader if isinstance(item, Picture))
        assert picture.write_rgb(np.zeros((48, 64, 3), np.uint8), 64, 48) is None


def test_what_the_film_was_graded_on_is_read(tmp_path: Path) -> None:
    facts = inspect(make_deep(tmp_path / "in.mp4", hdr=True)).video
    assert facts.colour.high_dynamic_range
    assert isinstance(facts.mastering, MasteringDisplay)
    assert facts.mastering.text(whole=True) == GRADED_ON
    assert facts.mastering.text(whole=False) == "G(0.265,0.69)B(0.15,0.06)R(0.68,0.32)WP(0.3127,0.329)L(1000,0.0001)"
    assert facts.light == ContentLight(most=1000, most_average=400)
