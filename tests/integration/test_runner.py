"""The runner's own process against a real Triton: shared memory and plain gRPC."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from clips import Clip, Sound, make_clip, read_clip
from real_runner import execute
from triton_server import RunningTriton

from framewire.v1.job_pb2 import OutputSettings
from framewire.v1.step_pb2 import Enhance, Step
from framewire.work.v1.work_pb2 import InferenceAddress, RunnerOrder


@pytest.mark.parametrize("shared_memory", [True, False])
def test_a_clip_comes_back_twice_the_size(tmp_path: Path, triton_server: RunningTriton, shared_memory: bool) -> None:
    # 96x64 H.264 with stereo and 5.1 AAC, 2 s; lossless out, so that the model's work can be seen
    source = make_clip(tmp_path / "in.mp4", Clip(width=96, height=64, frames=50, sounds=(Sound(), Sound(layout="5.1"))))
    leftovers = set(Path("/dev/shm").glob("framewire-arena*"))
    reports = execute(
        RunnerOrder(
            job_id="job_1",
            attempt=1,
            steps=[Step(enhance=Enhance(scale=2))],
            output=OutputSettings(crf=0, preset="ultrafast"),
            input_path=str(source),
            output_path=str(tmp_path / "out.mp4"),
            inference=InferenceAddress(url=triton_server.url, key=triton_server.key, shared_memory=shared_memory),
        )
    )
    assert reports[-1].WhichOneof("kind") == "done", reports[-1]
    fidelity = reports[-1].done.fidelity
    assert (fidelity.frames_in, fidelity.frames_out) == (50, 50)
    assert [track.identical for track in fidelity.audio] == [True, True]
    before, after = read_clip(source), read_clip(tmp_path / "out.mp4")
    assert before.audio == after.audio
    assert before.video_pts == after.video_pts
    assert after.pictures[0].shape == (128, 192, 3)
    for small, large in zip(before.pictures, after.pictures, strict=True):
        assert np.abs(large.reshape(64, 2, 96, 2, 3).mean(axis=(1, 3)) - small).mean() < 4
    assert set(Path("/dev/shm").glob("framewire-arena*")) <= leftovers


def test_a_model_that_is_not_served_fails_typed(tmp_path: Path, triton_server: RunningTriton) -> None:
    source = make_clip(tmp_path / "in.mp4", Clip(frames=5))
    reports = execute(
        RunnerOrder(
            job_id="job_1",
            steps=[Step(enhance=Enhance(model="no_such_model"))],
            input_path=str(source),
            output_path=str(tmp_path / "out.mp4"),
            inference=InferenceAddress(url=triton_server.url, key=triton_server.key, shared_memory=True),
        )
    )
    assert reports[-1].failed.error.code == "MODEL_UNKNOWN"
    assert not reports[-1].failed.retryable


def test_no_server_at_all_is_retryable(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mp4", Clip(frames=5))
    reports = execute(
        RunnerOrder(
            job_id="job_1",
            steps=[Step(enhance=Enhance())],
            input_path=str(source),
            output_path=str(tmp_path / "out.mp4"),
            inference=InferenceAddress(url="127.0.0.1:9", shared_memory=True),
        )
    )
    assert reports[-1].failed.error.code == "INFERENCE_UNAVAILABLE"
    assert reports[-1].failed.retryable
