"""`framewire down` says "stopped" when nothing of the stack is left."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from framewire.cli import down
from framewire.cli.main import run
from framewire.stack.folder import DataFolder, StackState

# the supervisor leaves at once when it is asked to; who holds the folder's lock too goes on for a while
SUPERVISOR = """
import fcntl, os, signal, subprocess, sys
lock = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)
fcntl.flock(lock, fcntl.LOCK_EX)
subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read(); __import__('time').sleep(float(sys.argv[1]))",
    sys.argv[2]], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, pass_fds=[lock])
print(flush=True)
signal.pause()
"""


def stack(folder: DataFolder, tidying: float) -> subprocess.Popen[str]:
    """A stack of two processes, the second of which takes so many seconds to tidy up."""
    argv = [sys.executable, "-c", SUPERVISOR, str(folder.lock_file), str(tidying)]
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    process.stdout.readline()
    folder.write_state(StackState(pid=process.pid, ready=True, grpc="127.0.0.1:1", rest="http://127.0.0.1:2"))
    return process


@pytest.fixture
def folder(tmp_path: Path) -> DataFolder:
    made = DataFolder(tmp_path / "data")
    made.create()
    return made


def test_down_waits_for_whoever_tidies_up(folder: DataFolder, capsys: pytest.CaptureFixture[str]) -> None:
    with stack(folder, 0.5) as process:
        begin = time.monotonic()
        assert run(["down", "--data", str(folder.root)]) == 0
        assert capsys.readouterr().out == "stopped\n"
        assert time.monotonic() - begin >= 0.5
        assert not folder.locked()
        assert process.wait(10) < 0


def test_down_says_so_when_something_is_left(
    folder: DataFolder, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(down, "_TIMEOUT", 0.5)
    with stack(folder, 3.0):
        assert run(["down", "--data", str(folder.root)]) == 1
        assert "DEADLINE_EXCEEDED" in capsys.readouterr().err
        assert folder.locked()
