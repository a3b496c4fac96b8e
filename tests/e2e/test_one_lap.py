"""A clip goes all the way through every real server and comes back."""

from __future__ import annotations

import json
from pathlib import Path

import av
from clips import read_clip
from local_stack import QUICK_STEP, Stack, framewire, processes_of, shared_memory_of


def test_a_clip_comes_back_twice_the_size_with_its_sound_bit_for_bit(stack: Stack, clip: Path, tmp_path: Path) -> None:
    answer = stack.run("run", clip, "--step", "enhance:scale=2", "-o", tmp_path / "out.mp4")
    assert answer.code == 0, answer.err
    assert "100 frames in, 100 out" in answer.out
    assert "audio identical" in answer.out
    before, after = read_clip(clip, pictures=False), read_clip(tmp_path / "out.mp4")
    assert after.pictures[0].shape == (360, 640, 3)
    assert after.video_pts == before.video_pts
    assert after.audio == before.audio


def test_several_steps_are_one_chain(stack: Stack, clip: Path, tmp_path: Path) -> None:
    answer = stack.run(
        "run", clip, "--step", "denoise", "--step", QUICK_STEP, "--step", QUICK_STEP, "-o", tmp_path / "out.mp4"
    )
    assert answer.code == 0, answer.err
    assert read_clip(tmp_path / "out.mp4").pictures[0].shape == (720, 1280, 3)


def test_a_real_clip_keeps_its_frames_its_duration_and_its_sound(stack: Stack, cars: Path, tmp_path: Path) -> None:
    answer = stack.run("run", cars, "--step", QUICK_STEP, "-o", tmp_path / "out.mp4", "--json", timeout=170)
    assert answer.code == 0, answer.err
    before, after = read_clip(cars, pictures=False), read_clip(tmp_path / "out.mp4", pictures=False)
    assert len(before.video_pts) == len(after.video_pts) == 377
    assert before.audio == after.audio
    with av.open(str(cars)) as one, av.open(str(tmp_path / "out.mp4")) as other:
        assert (other.streams.video[0].width, other.streams.video[0].height) == (1536, 864)
        assert abs(one.duration - other.duration) / av.time_base <= 1 / 12.5


def test_progress_is_streamed_while_the_job_runs(stack: Stack, long_clip: Path, tmp_path: Path) -> None:
    answer = stack.run("run", long_clip, "--step", QUICK_STEP, "-o", tmp_path / "out.mp4", "--json", timeout=170)
    assert answer.code == 0, answer.err
    events = [record["event"] for record in answer.records if "event" in record]
    fractions = [event["progress"].get("fraction", 0.0) for event in events if "progress" in event]
    assert len(fractions) >= 4
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1.0
    assert any(event["progress"].get("eta") for event in events if "progress" in event)


def test_watching_from_the_middle_shows_the_same_events_from_the_first(stack: Stack, long_clip: Path) -> None:
    submitted = stack.run("submit", long_clip, "--step", QUICK_STEP, "--json")
    job = next(record["job"]["jobId"] for record in submitted.records if "job" in record)
    with stack.start("watch", job, "--json") as early:
        assert early.stdout is not None
        lines = [json.loads(early.stdout.readline()) for _ in range(5)]
        late = stack.run("watch", job, "--json", timeout=170)
        lines += [json.loads(line) for line in early.stdout]
    assert late.code == 0
    assert late.records == lines
    resumed = stack.run("watch", job, "--after", str(lines[3]["event"]["number"]), "--json")
    assert resumed.records == lines[4:]
    assert lines[-1]["event"]["status"]["state"] == "JOB_STATE_SUCCEEDED"


def test_run_without_a_stack_starts_one_and_leaves_nothing_behind(clip: Path, tmp_path: Path) -> None:
    answer = framewire("run", clip, "--step", "enhance", "-o", tmp_path / "out.mp4", "--data", tmp_path / "data")
    assert answer.code == 0, answer.err
    assert read_clip(tmp_path / "out.mp4").pictures[0].shape == (360, 640, 3)
    assert processes_of(tmp_path / "data") == {}
    assert shared_memory_of(tmp_path / "data") == set()
