"""Results that grow over what was asked for, and memory that does not grow at all."""

from __future__ import annotations

import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from clips import Clip, make_clip
from jobs import enhance, pipeline, server_with
from numpy.typing import NDArray

from coordinator.bounds import OutputBounds
from coordinator.order import Reports
from framewire.errors import ErrorCode, WorkerError
from framewire.work.v1.work_pb2 import StoredSegment

MEASURED = """
import sys
from pathlib import Path
sys.path[:0] = sys.argv[3:]
from jobs import enhance, pipeline, server_with
pipeline(Path(sys.argv[1]), Path(sys.argv[2]), server_with(2), enhance("x2")).run()
status = Path("/proc/self/status").read_text()
print(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")))
"""
"""Runs a clip and says the most memory the process ever had, in KiB. Not ru_maxrss, which begins at the parent's."""


def noise(clip: Clip, number: int) -> NDArray[np.uint8]:
    return np.random.default_rng(number).integers(0, 256, (clip.height, clip.width, 3), np.uint8)


def test_a_result_larger_than_allowed_is_given_up_while_it_is_made(tmp_path: Path) -> None:
    # 4 s of noise: 4 units of lossless video
    source = make_clip(tmp_path / "in.mp4", Clip(frames=100, sounds=()), noise)
    units: list[StoredSegment] = []
    run = pipeline(
        source,
        tmp_path / "out.mp4",
        server_with(1),
        enhance("x1"),
        bounds=OutputBounds(max_bytes=50_000),
        reports=Reports(unit=units.append),
    )
    with pytest.raises(WorkerError) as failure:
        run.run()
    assert failure.value.code == ErrorCode.OUTPUT_TOO_LARGE
    assert not failure.value.retryable
    assert len(units) == 1
    assert not (tmp_path / "out.mp4").exists()


def test_a_film_that_says_it_is_too_long_is_refused_before_work_starts(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mp4", Clip(frames=100, sounds=()))
    server = server_with(1)
    with pytest.raises(WorkerError, match="longer than the 2 s allowed") as failure:
        pipeline(source, tmp_path / "out.mp4", server, enhance("x1"), bounds=OutputBounds(max_seconds=2)).run()
    assert failure.value.code == ErrorCode.OUTPUT_TOO_LONG
    assert server.requests == 0


def test_a_film_that_turns_out_too_long_is_given_up(tmp_path: Path) -> None:
    # Matroska declares no number of frames
    source = make_clip(tmp_path / "in.mkv", Clip(frames=100, sounds=()))
    with pytest.raises(WorkerError) as failure:
        pipeline(source, tmp_path / "out.mp4", server_with(1), enhance("x1"), bounds=OutputBounds(max_seconds=2)).run()
    assert failure.value.code == ErrorCode.OUTPUT_TOO_LONG
    assert not (tmp_path / "out.mp4").exists()


def test_a_film_as_long_and_as_large_as_allowed_passes(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mp4", Clip(frames=50, sounds=()))
    bounds = OutputBounds(max_seconds=2, max_bytes=10_000_000)
    assert pipeline(source, tmp_path / "out.mp4", server_with(1), enhance("x1"), bounds=bounds).run().frames_out == 50


def test_what_an_edit_list_hides_does_not_make_a_film_too_long(tmp_path: Path) -> None:
    # time stamps below zero: MP4 hides what lies before zero behind an edit list; 1 of 3 s is shown
    stamps = tuple(range(-50 * 512, 25 * 512, 512))
    clip = Clip(frames=75, time_base=Fraction(1, 12_800), pts=stamps, sounds=())
    source = make_clip(tmp_path / "in.mp4", clip)
    bounds = OutputBounds(max_seconds=2)
    result = pipeline(source, tmp_path / "out.mp4", server_with(1), enhance("x1"), bounds=bounds).run()
    assert result.frames_out == 25


def test_memory_does_not_grow_with_the_length_of_a_film(tmp_path: Path) -> None:
    # 128x96 H.264 at 25 fps with AAC: 10 s and 100 s, both longer than what fills every channel; kept, the result's
    # pictures alone would be 70 MB
    peaks = []
    for frames in (250, 2500):
        source = make_clip(tmp_path / f"{frames}.mp4", Clip(width=128, height=96, frames=frames))
        paths = [str(Path(__file__).parent), str(Path(__file__).parents[2])]
        done = subprocess.run(
            [sys.executable, "-c", MEASURED, str(source), str(tmp_path / f"{frames}-out.mp4"), *paths],
            capture_output=True,
            check=True,
            timeout=120,
        )
        peaks.append(int(done.stdout))
    assert peaks[1] <= 1.10 * peaks[0], peaks
