"""Commands as people run them, against the gateway of a few lines."""

from __future__ import annotations

import asyncio
import fcntl
import os
import pty
import struct
import sys
import termios
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from framewire.steps.parse import parse_step
from framewire.v1.job_pb2 import JOB_STATE_CANCELLED, JOB_STATE_FAILED, JOB_STATE_SUCCEEDED, Error, Event, Job

if TYPE_CHECKING:
    from conftest import Gateway, Store

FRAMEWIRE = str(Path(sys.executable).with_name("framewire"))
JOB = "job_01m7z5699nbq8tnx7wj3zdw7n1"
ASSET = "ast_01m7z5699nbq8tnx7wj3zdw7n1"


async def framewire(gateway: Gateway, *arguments: str) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of the program."""
    argv = [FRAMEWIRE, *arguments, "--server", gateway.address]
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*argv, stdout=pipe, stderr=pipe)
    async with asyncio.timeout(30):
        out, err = await process.communicate()
    return process.returncode or 0, out.decode(), err.decode()


async def on_a_terminal(gateway: Gateway, *arguments: str, columns: int) -> str:
    """What the program writes to a terminal of this width."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": str(columns)}
    argv = [FRAMEWIRE, *arguments, "--server", gateway.address]
    process = await asyncio.create_subprocess_exec(*argv, stdout=theirs, stderr=theirs, env=environment)
    os.close(theirs)
    async with asyncio.timeout(30):
        await process.wait()  # a terminal holds what little it writes
    said = os.read(ours, 65536).decode()
    os.close(ours)
    return said


def ended(state: int, *, code: str = "", message: str = "") -> tuple[Event, Job]:
    """A job with one event, its last."""
    job = Job(job_id="job_1", last_event=1)
    job.state = state  # type: ignore[assignment]  # protobuf's enums are integers
    event = Event(number=1)
    event.status.state = job.state
    if code:
        job.error.CopyFrom(Error(code=code, message=message))
        event.status.error.CopyFrom(job.error)
    return event, job


@pytest.mark.parametrize("after", ["0", "1"])
@pytest.mark.parametrize(
    ("end", "code", "words"),
    [
        (ended(JOB_STATE_SUCCEEDED), 0, ""),
        (ended(JOB_STATE_CANCELLED), 1, "framewire: CANCELLED: the job was cancelled\n"),
        (
            ended(JOB_STATE_FAILED, code="MEDIA_UNREADABLE", message="no film"),
            1,
            "framewire: MEDIA_UNREADABLE: no film\n",
        ),
    ],
    ids=["succeeded", "cancelled", "failed"],
)
async def test_watching_a_job_that_has_ended_tells_how_wherever_it_begins(
    gateway: Gateway, end: tuple[Event, Job], code: int, words: str, after: str
) -> None:
    event, gateway.job = end
    gateway.events.append(event)
    result, out, err = await framewire(gateway, "watch", "job_1", "--after", after)
    assert (result, err) == (code, words)
    assert len(out.splitlines()) == 1 - int(after)


@pytest.mark.parametrize("columns", [20, 80, 200])
async def test_a_list_shows_whole_ids_however_narrow_the_terminal_is(gateway: Gateway, columns: int) -> None:
    steps = [parse_step("enhance:scale=2,model=a_model_with_quite_a_long_name")] * 8
    gateway.job = Job(job_id=JOB, state=JOB_STATE_SUCCEEDED, steps=steps)
    said = await on_a_terminal(gateway, "list", columns=columns)
    assert JOB in said
    assert "SUCCEEDED" in said
    assert said.count("a_model_with_quite_a_long_name") == 8


async def test_a_job_shows_whole_ids_however_narrow_the_terminal_is(gateway: Gateway) -> None:
    gateway.job = Job(job_id="job_1", state=JOB_STATE_SUCCEEDED, input_asset_ids=[ASSET], output_asset_ids=[ASSET])
    said = await on_a_terminal(gateway, "get", "job_1", columns=20)
    assert said.count(ASSET) == 2


async def test_a_result_whose_name_promises_another_container_is_warned_of(
    gateway: Gateway, store: Store, tmp_path: Path
) -> None:
    clip = tmp_path / "clip.mp4"
    clip.write_bytes(b"\x1a\x45\xdf\xa3\xa3\x42\x82\x88matroska")  # as a result, it is what it was
    event, gateway.job = ended(JOB_STATE_SUCCEEDED)
    gateway.job.output_asset_ids.append("ast_1")
    gateway.events.append(event)
    gateway.accepts = True
    run = ("run", str(clip), "--step", "enhance", "-o", str(tmp_path / "out.mp4"))
    code, _, err = await framewire(gateway, *run)
    assert code == 0
    (line,) = err.splitlines()
    assert line == f"framewire: warning: the container of {run[-1]} is Matroska: players expect its name to end in .mkv"
    code, out, err = await framewire(gateway, *run, "--json")
    assert (code, err) == (0, "")
    assert '"container": "matroska"' in out.splitlines()[-1]
