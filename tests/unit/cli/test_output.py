"""What stdout does not take: a full disk, a closed descriptor, another encoding, names that are no text."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from framewire.cli.main import run
from framewire.cli.screen import Screen, json_line
from framewire.errors import ErrorCode, FramewireError, Violation

FRAMEWIRE = str(Path(sys.executable).with_name("framewire"))


def framewire(*arguments: str, stdout: int | None = subprocess.PIPE, **variables: str) -> tuple[int, bytes, str]:
    """Exit code, stdout and stderr of the program."""
    done = subprocess.run(
        [FRAMEWIRE, *arguments],
        stdout=stdout,
        stderr=subprocess.PIPE,
        env={**os.environ, **variables},
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr.decode()


@pytest.mark.parametrize("arguments", [["--help"], ["doctor"], ["doctor", "--json"]], ids=" ".join)
def test_a_full_disk_behind_stdout_is_one_line(arguments: list[str]) -> None:
    full = os.open("/dev/full", os.O_WRONLY)
    code, _, err = framewire(*arguments, stdout=full)
    os.close(full)
    assert code == 1
    assert err == "framewire: FILE_UNWRITABLE: cannot write to stdout: No space left on device\n"


def test_a_reader_that_has_enough_is_no_error() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    code, _, err = framewire("doctor", stdout=writing)
    os.close(writing)
    assert (code, err) == (1, "")


def test_a_closed_stdout_is_no_error(tmp_path: Path) -> None:
    shell = f'"{FRAMEWIRE}" doctor --data "{tmp_path}" >&-'
    done = subprocess.run(["/bin/sh", "-c", shell], stderr=subprocess.PIPE, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, b"")


def test_what_the_encoding_does_not_have_is_escaped(tmp_path: Path) -> None:
    data = str(tmp_path / "ünï")
    code, out, err = framewire("doctor", "--data", data, PYTHONIOENCODING="ascii")
    assert (code, err) == (0, "")
    assert b"\\xfcn\\xef" in out
    code, out, err = framewire("doctor", "--json", "--data", data, PYTHONIOENCODING="ascii")
    assert (code, err) == (0, "")
    assert data in "".join(json.loads(line)["check"]["words"] for line in out.decode("ascii").splitlines())


def test_a_name_that_is_no_text_leaves_json_valid(tmp_path: Path) -> None:
    data = str(tmp_path) + "/no\udcfftext"
    code, out, err = framewire("doctor", "--json", "--data", data, PYTHONIOENCODING="utf-8")
    assert (code, err) == (0, "")
    words = "".join(json.loads(line)["check"]["words"] for line in out.decode("utf-8").splitlines())
    assert f"{tmp_path}/no\ufffdtext" in words
    code, out, err = framewire("doctor", "--data", data, PYTHONIOENCODING="utf-8")
    assert (code, err) == (0, "")
    assert rb"no\udcfftext" in out


def test_a_line_of_json_says_the_same_in_every_encoding() -> None:
    record = {"path": "ü\udcff😀\\ud800"}
    assert json.loads(json_line(record, "utf-8")) == {"path": "ü\ufffd😀\\ud800"}
    assert json.loads(json_line(record, "latin-1").encode("ascii")) == {"path": "ü\ufffd😀\\ud800"}


def test_a_number_no_event_can_have_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["watch", "job_1", "--after", str(2**64)]) == 2
    assert "not in the range" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("message", "violation", "line"),
    [
        (
            "scale 3 is not served",
            Violation("steps[0].enhance.scale", "scale 3 is not served"),
            "scale 3 is not served",
        ),
        ("steps[0].x: is wrong", Violation("steps[0].x", "is wrong"), "steps[0].x: is wrong"),
        ("no", Violation("steps[0].x", "is wrong"), "no (steps[0].x: is wrong)"),
    ],
)
def test_an_error_says_each_thing_once(
    message: str, violation: Violation, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    error = FramewireError(message, code=ErrorCode.STEP_INVALID, violations=[violation])
    Screen(as_json=False).failure(error)
    assert capsys.readouterr().err == f"framewire: STEP_INVALID: {line}\n"
