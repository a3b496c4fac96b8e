"""The runner as its parent sees it: a process, two pipes and an exit status."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import pytest
from clips import Clip, make_clip, truncate

from framewire.edits.edit_list import EditList, Span
from framewire.edits.wire import cut_list_to_proto
from framewire.v1.step_pb2 import CutSilence, Enhance, Step
from framewire.work.v1.work_pb2 import InferenceAddress, RunnerOrder, RunnerReport, StoredSegment

PROGRAM = Path(__file__).parent / "runner_with_fake.py"

PARENT = """
import subprocess, sys
child = subprocess.Popen([sys.executable, sys.argv[1]], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
child.stdin.write(bytes.fromhex(sys.argv[2]))
child.stdin.flush()
child.stdout.read(6 + 8)  # it is ready; the job runs
print(child.pid, flush=True)
sys.stdin.read()
"""
"""Starts a runner, gives it work that never ends, says its pid and waits to be killed."""


class Runner:
    """A running child."""

    def __init__(self, model: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, PROGRAM],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, "FAKE_MODEL": model},
        )
        assert self.process.stdin
        assert self.process.stdout
        assert self.process.stderr
        self.stdin, self.stdout, self.stderr = self.process.stdin, self.process.stdout, self.process.stderr

    def order(
        self, source: Path, target: Path, resume: Sequence[StoredSegment] = (), before: Sequence[Step] = ()
    ) -> None:
        """`before`: steps ahead of the one that enhances."""
        order = RunnerOrder(
            job_id="job_1",
            attempt=1,
            steps=[*before, Step(enhance=Enhance(scale=2))],
            input_path=str(source),
            output_path=str(target),
            segments_path=str(target.parent / "segments"),
            resume=resume,
            inference=InferenceAddress(url="127.0.0.1:1"),  # the server is inside the runner
        )
        payload = order.SerializeToString()
        self.stdin.write(len(payload).to_bytes(4, "big") + payload)
        self.stdin.flush()

    def report(self) -> RunnerReport | None:
        header = self.stdout.read(4)
        return RunnerReport.FromString(self.stdout.read(int.from_bytes(header, "big"))) if header else None

    def reports(self) -> Iterator[RunnerReport]:
        """Those that follow from an order."""
        while report := self.report():
            if not report.HasField("ready"):
                yield report

    def exit_status(self) -> int:
        return self.process.wait(20)


@contextlib.contextmanager
def running(model: str = "") -> Iterator[Runner]:
    runner = Runner(model)
    try:
        yield runner
    finally:
        runner.process.kill()
        runner.process.wait()
        for pipe in (runner.stdin, runner.stdout, runner.stderr):
            with contextlib.suppress(BrokenPipeError):
                pipe.close()


def kinds(reports: list[RunnerReport]) -> list[str]:
    return [str(report.WhichOneof("kind")) for report in reports]


def test_an_order_is_executed_reported_and_proved(tmp_path: Path) -> None:
    source, target = make_clip(tmp_path / "in.mp4", Clip(frames=30)), tmp_path / "out.mp4"
    with running() as runner:
        runner.order(source, target)
        reports = list(runner.reports())
        assert runner.exit_status() == 0
    assert kinds(reports)[0] == "probed"
    assert kinds(reports)[-1] == "done"
    progress = [report.progress for report in reports if report.WhichOneof("kind") == "progress"]
    assert (progress[0].fraction, progress[-1].fraction) == (0.0, 1.0)
    assert {report.stage for report in progress} == {"process"}
    done = reports[-1].done
    assert (done.fidelity.frames_in, done.fidelity.frames_out) == (30, 30)
    assert done.fidelity.audio[0].identical
    assert done.fidelity.av_drift_ms < 0.1
    assert (done.media.video.width, done.media.video.height) == (128, 96)
    assert target.exists()


def test_a_film_is_cut_and_enhanced_in_the_sandbox(tmp_path: Path) -> None:
    source, target = make_clip(tmp_path / "in.mp4", Clip(frames=60)), tmp_path / "out.mp4"
    spans = [Span(start=Fraction(0), end=Fraction(12, 25)), Span(start=Fraction(1), end=Fraction(2), speed=Fraction(2))]
    cut = Step(cut_silence=CutSilence(cuts=cut_list_to_proto(EditList(spans))))
    with running() as runner:
        runner.order(source, target, before=[cut])
        reports = list(runner.reports())
        assert runner.exit_status() == 0
    done = reports[-1].done
    assert done.fidelity.edit.frames_expected == done.fidelity.frames_out == 12 + 13
    assert [tag for tag in done.fidelity.tags if not tag.kept] == []
    assert done.fidelity.audio[0].samples_out == done.fidelity.audio[0].samples_expected == 47_040
    assert done.media.video.width == 128


def test_segments_previews_and_a_thumbnail_are_reported(tmp_path: Path) -> None:
    source, target = make_clip(tmp_path / "in.mp4", Clip(frames=60)), tmp_path / "out.mp4"
    with running() as runner:
        runner.order(source, target)
        reports = list(runner.reports())
    segments = [report.segment for report in reports if report.WhichOneof("kind") == "segment"]
    assert [stored.segment.frames for stored in segments] == [13, 25, 22]
    assert all(Path(stored.path).stat().st_size == stored.segment.size_bytes for stored in segments)
    previews = [report.preview for report in reports if report.WhichOneof("kind") == "preview"]
    assert previews[0].before[:2] == previews[0].after[:2] == b"\xff\xd8"
    assert Path(reports[-1].done.thumbnail_path).read_bytes()[:2] == b"\xff\xd8"


def test_a_runner_goes_on_behind_the_segments_it_is_given(tmp_path: Path) -> None:
    source, target = make_clip(tmp_path / "in.mp4", Clip(frames=60)), tmp_path / "out.mp4"
    with running() as runner:
        runner.order(source, target)
        reports = list(runner.reports())
    undisturbed = target.read_bytes()
    kept = [report.segment for report in reports if report.WhichOneof("kind") == "segment"][:2]
    with running() as runner:
        runner.order(source, target, resume=kept)
        reports = list(runner.reports())
    assert [report.segment.segment.index for report in reports if report.WhichOneof("kind") == "segment"] == [2]
    progress = [report.progress for report in reports if report.WhichOneof("kind") == "progress"]
    assert progress[0].frames_done == 38
    assert target.read_bytes() == undisturbed


def test_stray_prints_do_not_reach_the_reports(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mp4", Clip(frames=2))
    with running("noisy") as runner:
        runner.order(source, tmp_path / "out.mp4")
        reports = list(runner.reports())
        runner.exit_status()
        assert b"a stray line" in runner.stderr.read()
    assert kinds(reports)[-1] == "done"


def test_an_input_that_is_no_media_is_reported_as_failed(tmp_path: Path) -> None:
    (tmp_path / "in.mp4").write_text("no film")
    with running() as runner:
        runner.order(tmp_path / "in.mp4", tmp_path / "out.mp4")
        reports = list(runner.reports())
        assert runner.exit_status() == 0
    assert kinds(reports) == ["failed"]
    assert reports[0].failed.error.code == "MEDIA_UNREADABLE"
    assert not reports[0].failed.retryable
    assert not (tmp_path / "out.mp4").exists()


@pytest.mark.parametrize("share", [0.6, 1.0])
def test_a_file_with_fewer_frames_than_it_promises_is_processed_with_a_warning(tmp_path: Path, share: float) -> None:
    source = truncate(make_clip(tmp_path / "in.mp4", Clip(frames=100, index_first=True)), share)
    with running() as runner:
        runner.order(source, tmp_path / "out.mp4")
        reports = list(runner.reports())
    frames = reports[-1].done.fidelity.frames_in
    said = [report.log.text for report in reports if "may be cut short" in report.log.text]
    expected = [f"the file promises 100 frames, {frames} could be read: it may be cut short"]
    assert said == (expected if share < 1 else [])
    assert (frames == 100) == (share == 1.0)


def test_closing_stdin_before_an_order_dismisses_the_runner() -> None:
    with running() as runner:
        runner.stdin.close()
        assert runner.exit_status() == 0


def test_a_runner_says_that_it_is_ready_before_it_has_an_order() -> None:
    with running() as runner:
        report = runner.report()
        assert report is not None
        assert report.HasField("ready")


def test_a_spare_runner_ends_at_once_when_told_to() -> None:
    with running() as runner:
        runner.process.terminate()
        assert runner.exit_status() in (143, -signal.SIGTERM)  # the second one: before it had started properly


@pytest.mark.parametrize("how", ["signal", "end of stdin"])
def test_a_running_job_stops_quickly_and_leaves_no_file(tmp_path: Path, how: str) -> None:
    source, target = make_clip(tmp_path / "in.mp4", Clip(frames=30)), tmp_path / "out.mp4"
    with running("hang") as runner:
        runner.order(source, target)
        reports = runner.reports()
        assert [next(reports).WhichOneof("kind") for _ in range(2)] == ["probed", "progress"]
        if how == "signal":
            runner.process.terminate()
        else:
            runner.stdin.close()
        assert runner.exit_status() == 143
    assert not target.exists()


def test_a_result_that_was_handed_over_survives_the_end_of_stdin(tmp_path: Path) -> None:
    source, target = make_clip(tmp_path / "in.mp4", Clip(frames=5)), tmp_path / "out.mp4"
    with running() as runner:
        runner.order(source, target)
        last = [report.WhichOneof("kind") for report in runner.reports()][-1]
        with contextlib.suppress(BrokenPipeError):
            runner.stdin.close()
        runner.exit_status()
    assert last == "done"
    assert target.exists()


def test_a_runner_does_not_outlive_its_parent(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mp4", Clip(frames=30))
    order = RunnerOrder(
        job_id="job_1", steps=[Step(enhance=Enhance())], input_path=str(source), output_path=str(tmp_path / "out.mp4")
    ).SerializeToString()
    framed = len(order).to_bytes(4, "big") + order
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(PROGRAM), framed.hex()],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "FAKE_MODEL": "hang"},
    )
    assert parent.stdout
    pid = int(parent.stdout.readline())
    gone = os.pidfd_open(pid)
    parent.kill()
    parent.communicate()
    assert select.select([gone], [], [], 10)[0], "the runner is still there"
    os.close(gone)


def test_bounds_are_in_force_while_a_job_runs(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mp4", Clip(frames=30))
    with running("hang") as runner:
        runner.order(source, tmp_path / "out.mp4")
        assert next(runner.reports()).WhichOneof("kind") == "probed"
        lines = Path(f"/proc/{runner.process.pid}/limits").read_text().splitlines()[1:]
        status = Path(f"/proc/{runner.process.pid}/status").read_text()
    limits = {line[:26].strip(): line[26:].split()[0] for line in lines}
    assert limits["Max core file size"] == "0"
    assert int(limits["Max data size"]) == 6 << 30
    assert int(limits["Max open files"]) == 256
    assert int(limits["Max file size"]) == 4 << 30
    assert "NoNewPrivs:\t1" in status
