"""What a file may ask of us while it is decoded."""

from __future__ import annotations

from pathlib import Path

import pytest
from clips import Clip, make_clip

from coordinator.media.decode import Reader
from coordinator.media.limits import Budget, MediaLimits
from coordinator.media.probe import inspect
from framewire.errors import ErrorCode, MediaError


@pytest.mark.parametrize(
    "limits",
    [MediaLimits(max_frames=10), MediaLimits(max_packets=10), MediaLimits(max_packet_bytes=100)],
    ids=["frames", "packets", "packet bytes"],
)
def test_a_film_that_takes_more_than_it_may_ends_as_too_large(tmp_path: Path, limits: MediaLimits) -> None:
    # 64x48 H.264, 25 frames, no sound
    path = make_clip(tmp_path / "film.mp4", Clip(sounds=()))
    facts = inspect(path).video
    with Reader(path, facts, MediaLimits()) as reader:
        assert len(list(reader)) == 25
    with Reader(path, facts, limits) as reader, pytest.raises(MediaError) as refused:
        list(reader)
    assert refused.value.code == ErrorCode.MEDIA_TOO_LARGE


@pytest.mark.parametrize(("width", "seconds"), [(64, 61.0), (5000, 1.0)])
def test_a_picture_that_is_too_late_or_too_large_is_refused_when_it_comes(width: int, seconds: float) -> None:
    budget = Budget(MediaLimits(max_duration=60.0))
    budget.picture(64, 48, 59.0)
    with pytest.raises(MediaError) as refused:
        budget.picture(width, 48, seconds)
    assert refused.value.code == ErrorCode.MEDIA_TOO_LARGE


def test_decoding_without_a_picture_ends_after_its_processor_time() -> None:
    now = [0.0]
    budget = Budget(MediaLimits(picture_seconds=10.0), clock=lambda: now[0])
    now[0] = 9.0
    budget.packet(100)
    budget.picture(64, 48, 0.0)
    now[0] = 18.0
    budget.packet(100)
    now[0] = 19.5
    with pytest.raises(MediaError) as refused:
        budget.packet(100)
    assert refused.value.code == ErrorCode.MEDIA_UNREADABLE


def test_a_result_larger_than_inputs_may_be_can_be_read(tmp_path: Path) -> None:
    # 320x240 H.264 stands for a result, with limits as small
    limits = MediaLimits(max_input_pixels=200 * 200, max_output_pixels=320 * 240)
    path = make_clip(tmp_path / "result.mp4", Clip(width=320, height=240, frames=2, sounds=()))
    assert inspect(path, limits.of_results()).video.width == 320
