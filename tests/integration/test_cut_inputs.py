"""Awkward films through `cut_silence` in real runners: a sensible result, or an error that says what to do.

Each row of the table in docs/steps/cut_silence.md is a test here.
"""

from __future__ import annotations

import json
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import av
import pytest
from clips import read_clip
from real_runner import execute
from talking_clips import Talk, make_talk

from framewire.v1.job_pb2 import FidelityReport
from framewire.v1.step_pb2 import DETECTOR_MOTION, CutSilence, Step
from framewire.work.v1.work_pb2 import RunnerFailed, RunnerOrder, RunnerReport

SCRIPTS = Path(__file__).parents[2] / "scripts"
sys.path.insert(0, str(SCRIPTS))

from sample_pauses import repeat_film  # noqa: E402 - a script, not a package

MINUTES = 18


def run(source: Path, step: CutSilence | None = None) -> RunnerReport:
    """Cut it in a runner of its own; how that ended. The result lies beside it as `out.mp4`."""
    order = RunnerOrder(
        job_id="job_1",
        attempt=1,
        steps=[Step(cut_silence=step or CutSilence())],
        input_path=str(source),
        output_path=str(source.parent / "out.mp4"),
    )
    return execute(order)[-1]


def refused(source: Path, step: CutSilence | None = None) -> RunnerFailed:
    report = run(source, step)
    assert report.WhichOneof("kind") == "failed", report
    assert not report.failed.retryable
    assert not (source.parent / "out.mp4").exists()
    return report.failed


def cut(source: Path, step: CutSilence | None = None) -> FidelityReport:
    report = run(source, step)
    assert report.WhichOneof("kind") == "done", report
    return report.done.fidelity


def lengths(path: Path) -> tuple[float, float]:
    """Seconds of pictures and of sound, by decoding both."""
    with av.open(str(path)) as film:
        pictures = sum(1 for _ in film.decode(video=0))
    with av.open(str(path)) as film:
        samples = sum(frame.samples for frame in film.decode(audio=0)) if film.streams.audio else 0
        rate = film.streams.audio[0].rate if film.streams.audio else 1
    return pictures / 25, samples / rate


def test_pauses_are_cut_and_picture_and_sound_stay_together(tmp_path: Path) -> None:
    source = make_talk(tmp_path / "in.mp4", Talk(seconds=6, words=[(1, 2), (4, 5)]))
    report = cut(source)
    pictures, sound = lengths(tmp_path / "out.mp4")
    assert pictures == pytest.approx(2.8, abs=0.09)  # both seconds with 0.2 s before and behind
    assert sound == pytest.approx(pictures, abs=0.05)
    assert abs(report.av_drift_ms) <= 20


def test_a_film_without_sound_is_refused_with_a_way_out(tmp_path: Path) -> None:
    source = make_talk(tmp_path / "in.mp4", Talk(seconds=2, sound=0))
    error = refused(source).error
    assert error.code == "CUT_NO_AUDIO"
    assert "motion" in error.message


def test_a_film_without_sound_can_be_cut_by_motion(tmp_path: Path) -> None:
    source = make_talk(tmp_path / "in.mp4", Talk(seconds=2, sound=0))
    report = cut(source, CutSilence(detector=DETECTOR_MOTION, threshold="0.001"))
    assert report.frames_out == pytest.approx(50, abs=1)  # a line moves in every picture


@pytest.mark.parametrize("noise", [0.0, 0.01])
def test_silence_or_soft_noise_alone_is_refused_with_the_way_out(tmp_path: Path, noise: float) -> None:
    error = refused(make_talk(tmp_path / "in.mp4", Talk(seconds=2, noise=noise))).error
    assert error.code == "CUT_NOTHING_LEFT"
    assert "threshold" in error.message


def test_silence_alone_can_be_played_faster(tmp_path: Path) -> None:
    source = make_talk(tmp_path / "in.mp4", Talk(seconds=4))
    report = cut(source, CutSilence(silent="speed:4"))
    assert report.frames_out == pytest.approx(25, abs=1)
    pictures, sound = lengths(tmp_path / "out.mp4")
    assert pictures == pytest.approx(1, abs=0.05)
    assert sound == pytest.approx(1, abs=0.05)


def test_loud_noise_alone_keeps_every_packet(tmp_path: Path) -> None:
    source = make_talk(tmp_path / "in.mp4", Talk(seconds=3, noise=0.2))
    report = cut(source)
    assert (report.frames_in, report.frames_out) == (75, 75)
    before, after = read_clip(source, pictures=False), read_clip(tmp_path / "out.mp4", pictures=False)
    assert [data for _, data in before.audio[0]] == [data for _, data in after.audio[0]]
    assert before.video_pts == after.video_pts


def test_a_variable_rate_is_cut_between_its_pictures_and_kept(tmp_path: Path) -> None:
    # 20 ms and 60 ms in turn: 100 pictures in four seconds
    times = [at for start in range(0, 4000, 80) for at in (start, start + 20)]
    source = make_talk(tmp_path / "in.mp4", Talk(times=times, words=[(0.5, 1.5), (2.5, 3.5)]))
    cut(source)
    shown = read_clip(tmp_path / "out.mp4", pictures=False).video_pts
    steps = {round((after - before) * 1000) for before, after in pairwise(shown)}
    assert steps <= {20, 60}
    assert float(shown[-1] - shown[0]) == pytest.approx(2.8, abs=0.12)


def test_a_film_shorter_than_the_margins_is_kept_whole(tmp_path: Path) -> None:
    source = make_talk(tmp_path / "in.mp4", Talk(seconds=0.24, words=[(0.05, 0.2)]))
    assert cut(source).frames_out == 6


def test_a_single_picture_is_kept_or_refused_but_nothing_else(tmp_path: Path) -> None:
    report = run(make_talk(tmp_path / "in.mp4", Talk(seconds=0.04, sound=1, words=[(0, 1)])))
    kind = report.WhichOneof("kind")
    assert kind == "done" or report.failed.error.code == "CUT_NOTHING_LEFT"
    if kind == "done":
        assert report.done.fidelity.frames_out == 1


def test_sound_that_goes_on_behind_the_pictures_ends_with_them(tmp_path: Path) -> None:
    source = make_talk(tmp_path / "in.mp4", Talk(seconds=2, sound=5, words=[(0.5, 1), (1.5, 5)]))
    cut(source)
    pictures, sound = lengths(tmp_path / "out.mp4")
    assert pictures == pytest.approx(1.4, abs=0.25)
    assert sound <= pictures + 0.06


def test_sound_that_ends_before_the_pictures_is_silence_from_there(tmp_path: Path) -> None:
    source = make_talk(tmp_path / "in.mp4", Talk(seconds=5, sound=2, words=[(0.5, 1.5)]))
    assert cut(source).frames_out == pytest.approx(35, abs=1)


@pytest.mark.parametrize(
    ("name", "codec"),
    [("in.mp3", "mp3"), ("in.m4a", "aac"), ("in.wav", "pcm_s16le")],
)
def test_sound_alone_is_refused_because_there_is_no_film(tmp_path: Path, name: str, codec: str) -> None:
    source = make_talk(tmp_path / name, Talk(seconds=0, sound=3, words=[(1, 2)], codec=codec))
    error = refused(source).error
    assert error.code == "MEDIA_NO_VIDEO"


def test_everything_named_to_be_cut_is_refused(tmp_path: Path) -> None:
    source = make_talk(tmp_path / "in.mp4", Talk(seconds=2, words=[(0, 2)]))
    error = refused(source, CutSilence(always_cut="0-")).error
    assert error.code == "CUT_NOTHING_LEFT"
    assert "always_cut" in error.message


def test_a_track_that_is_not_there_is_refused(tmp_path: Path) -> None:
    source = make_talk(tmp_path / "in.mp4", Talk(seconds=2, words=[(0, 2)]))
    assert refused(source, CutSilence(track="2")).error.code == "STEP_INVALID"


def test_memory_does_not_grow_with_the_length_of_a_podcast(tmp_path: Path) -> None:
    base = make_talk(tmp_path / "in.mp4", Talk(seconds=30, words=[(1, 2), (5, 9), (20, 24)]))
    short = repeat_film(base, tmp_path / "short.mp4", seconds=120)
    long = repeat_film(base, tmp_path / "long.mp4", seconds=MINUTES * 60)
    few, many = peak(short), peak(long)
    assert many["copied"] > 8 * few["copied"]
    # 24,000 pictures more: each has its time, its packet's place and its level; everything else is bounded
    assert many["peak"] - few["peak"] < 24_000 * 1_000


def peak(source: Path) -> dict[str, int]:
    command = [sys.executable, str(SCRIPTS / "cut_loops.py"), "silence", str(source), f"{source}.cut.mp4", "[]"]
    found: dict[str, int] = json.loads(subprocess.check_output(command, timeout=120))
    return found
