"""One order, executed in the test's own process."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
from clips import Clip, make_clip
from jobs import enhance, server_with

from coordinator import job
from coordinator.job import Job
from coordinator.media.limits import MediaLimits
from coordinator.media.probe import Inspection
from framewire.errors import ErrorCode
from framewire.work.v1.work_pb2 import RunnerOrder, RunnerReport


@pytest.mark.parametrize("part", ["inspect", "fidelity_report"])
def test_a_job_gives_signs_of_life_while_a_file_is_looked_into_and_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    sent: list[RunnerReport] = []
    working, alive = threading.Event(), threading.Event()

    def send(report: RunnerReport) -> None:
        sent.append(report)
        if working.is_set() and report.HasField("progress"):
            alive.set()

    work = getattr(job, part)

    def slow(*args: Any, **options: Any) -> Any:
        working.set()
        assert alive.wait(20)
        return work(*args, **options)

    monkeypatch.setattr(job, "KEEP_ALIVE_SECONDS", 0.01)
    monkeypatch.setattr(job, part, slow)
    source = make_clip(tmp_path / "in.mp4", Clip(frames=10))
    order = RunnerOrder(input_path=str(source), output_path=str(tmp_path / "out.mp4"), steps=enhance("x1"))
    server = server_with(1)
    Job(order, send, lambda _: server).execute()
    assert sent[-1].HasField("done"), sent[-1]
    assert sent[-2].progress.fraction == 1.0
    assert server.closed


def test_a_result_that_cannot_be_read_is_not_blamed_on_the_input(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[RunnerReport] = []
    source, target = make_clip(tmp_path / "in.mp4", Clip(frames=3)), tmp_path / "out.mp4"
    look = job.inspect

    def damaged(path: Path, limits: MediaLimits) -> Inspection:
        if path == target:
            target.write_bytes(b"no film")
        return look(path, limits)

    monkeypatch.setattr(job, "inspect", damaged)
    order = RunnerOrder(input_path=str(source), output_path=str(target), steps=enhance("x1"))
    Job(order, sent.append, lambda _: server_with(1)).execute()
    assert sent[-1].failed.error.code == ErrorCode.INTERNAL
    assert "the result cannot be read back" in sent[-1].failed.error.message
    assert not target.exists()


def test_a_result_says_what_came_before_its_first_frame_and_when(tmp_path: Path) -> None:
    sent: list[RunnerReport] = []
    source = make_clip(tmp_path / "in.mp4", Clip(frames=10))  # 64x48 H.264
    order = RunnerOrder(input_path=str(source), output_path=str(tmp_path / "out.mp4"), steps=enhance("x1"))
    Job(order, sent.append, lambda _: server_with(1)).execute()
    usage = sent[-1].done.fidelity.usage
    assert [moment.name for moment in usage.start] == [
        *("model server connected", "film looked into", "contracts read", "tracks looked at", "film opened")
    ]
    times = [*(moment.time.ToNanoseconds() for moment in usage.start), usage.first_frame_time.ToNanoseconds()]
    assert times == sorted(times)
