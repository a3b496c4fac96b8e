"""What encoders are told so that a runner fits into its memory, whatever the picture."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import pytest
from clips import Clip, moving_square

from coordinator.media.encoder_memory import Diet, PictureSizes, diet_of
from framewire.steps.output import PRESETS

ENCODERS = ["libx264", "libx265", "libsvtav1"]
FULL_HD, LARGEST = 1920 * 1080, 4096 * 2304


def sizes(pixels: int, *, scale: int = 1, depth: int = 8) -> PictureSizes:
    return PictureSizes(source=pixels, result=pixels * scale**2, source_depth=depth, depth=depth)


def ahead(diet: Diet) -> int:
    """How far it is told to look."""
    return int(dict(part.split("=") for part in diet.params.split(":"))["rc-lookahead"])


@pytest.mark.parametrize("preset", PRESETS[:6])
def test_full_hd_in_h264_is_encoded_as_the_preset_says(preset: str) -> None:
    assert diet_of("libx264", preset, sizes(FULL_HD)).params == ""


def test_full_hd_at_the_default_preset_does_not_wait_for_the_encoder_before() -> None:
    diet = diet_of("libx264", "veryfast", sizes(FULL_HD))
    assert (diet.params, diet.alone) == ("", False)


def test_where_two_encoders_do_not_fit_there_is_one_at_a_time() -> None:
    film = sizes(FULL_HD, depth=10)
    diet = diet_of("libx264", "veryfast", film)
    assert diet.megabytes <= film.room < 2 * diet.megabytes
    assert diet.alone


def test_full_hd_in_hevc_looks_nearly_as_far_ahead_as_the_preset_says() -> None:
    assert ahead(diet_of("libx265", "veryfast", sizes(FULL_HD))) >= 10  # of 15


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("pixels", [FULL_HD, 2560 * 1440, 3840 * 2160, LARGEST])
def test_what_is_chosen_for_h264_fits_at_every_preset(preset: str, pixels: int) -> None:
    film = sizes(pixels)
    assert diet_of("libx264", preset, film).megabytes <= film.room


@pytest.mark.parametrize("encoder", ENCODERS)
@pytest.mark.parametrize("preset", PRESETS)
def test_whatever_the_size_it_fits_or_nothing_does(encoder: str, preset: str) -> None:
    least = diet_of(encoder, preset, sizes(LARGEST, scale=2)).params
    for pixels in range(100_000, LARGEST, 100_000):
        for depth in (8, 10):
            film = sizes(pixels, depth=depth)
            diet = diet_of(encoder, preset, film)
            assert diet.megabytes <= film.room or diet.params == least


@pytest.mark.parametrize("encoder", ENCODERS)
def test_where_nothing_fits_it_is_the_least_there_is(encoder: str) -> None:
    film = sizes(LARGEST, scale=2)
    diet = diet_of(encoder, "veryslow", film)
    assert diet.megabytes > film.room
    assert diet.alone
    assert (
        diet.params
        == {
            "libx264": "rc-lookahead=1:bframes=0:ref=1",
            "libx265": "rc-lookahead=1:bframes=0:ref=1:frame-threads=1",
            "libsvtav1": "lp=1:lookahead=0:hierarchical-levels=2",
        }[encoder]
    )


def test_it_looks_less_far_ahead_before_it_stops_reordering() -> None:
    diet = diet_of("libx264", "medium", sizes(2560 * 1440))
    assert "bframes=3:ref=3" in diet.params
    assert 3 <= ahead(diet) < 40


def test_an_encoder_of_a_gpu_is_told_nothing() -> None:
    assert diet_of("h264_nvenc", "veryfast", sizes(LARGEST)) == Diet(params="", megabytes=0.0, alone=False)


def test_how_many_pictures_av1_works_at_changes_no_frame(tmp_path: Path) -> None:
    # 64x48, 40 frames: more than two of its groups
    assert av1_packets(tmp_path / "4.mp4", "lp=4") == av1_packets(tmp_path / "1.mp4", "lp=1")


def av1_packets(path: Path, params: str) -> list[bytes]:
    clip = Clip(frames=40)
    with av.open(str(path), "w") as output:
        stream = output.add_stream("libsvtav1", rate=25, options={"preset": "10", "svtav1-params": params})
        stream.width, stream.height, stream.pix_fmt = clip.width, clip.height, "yuv420p"
        packets = []
        for number in range(clip.frames):
            frame = av.VideoFrame.from_ndarray(moving_square(clip, number), format="rgb24").reformat(format="yuv420p")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            packets += stream.encode(frame)
        return [bytes(packet) for packet in [*packets, *stream.encode(None)]]
