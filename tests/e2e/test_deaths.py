"""Processes die at the worst moment; jobs end once, and nothing is left behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from clips import read_clip
from local_stack import QUICK_STEP, Stack, processes_of, shared_memory_of, started
from servers import listens, wait_until


@pytest.fixture
def own_stack(tmp_path: Path) -> Iterator[Stack]:
    with started(tmp_path / "data") as stack:
        yield stack


def submitted(stack: Stack, clip: Path) -> str:
    answer = stack.run("submit", clip, "--step", QUICK_STEP, "--json")
    assert answer.code == 0, answer.err
    return next(record["job"]["jobId"] for record in answer.records if "job" in record)


def read_until_frames(watch: subprocess.Popen[str]) -> list[dict[str, dict]]:
    """Events up to the first that says frames are done."""
    assert watch.stdout is not None
    events = []
    for line in watch.stdout:
        events.append(json.loads(line)["event"])
        if int(events[-1].get("progress", {}).get("framesDone", 0)) > 0:
            return events
    raise AssertionError("the job ended before a frame was done")


def endings(events: list[dict]) -> list[str]:
    states = [event["status"]["state"] for event in events if "status" in event]
    return [state for state in states if state.endswith(("SUCCEEDED", "FAILED", "CANCELLED"))]


@pytest.mark.parametrize("victim", ["coordinator", "gateway", "nats", "triton", "s3"])
def test_a_job_ends_once_although_a_server_is_killed_in_the_middle_of_it(
    own_stack: Stack, long_clip: Path, tmp_path: Path, victim: str
) -> None:
    job = submitted(own_stack, long_clip)
    with own_stack.start("watch", job, "--json") as watch:
        events = read_until_frames(watch)
        own_stack.kill(victim)
        assert watch.stdout is not None
        events += [json.loads(line)["event"] for line in watch.stdout]
    assert watch.returncode == 0, watch.stderr.read() if watch.stderr else ""
    assert endings(events) == ["JOB_STATE_SUCCEEDED"]
    numbers = [int(event["number"]) for event in events]
    assert numbers == sorted(set(numbers))
    answer = own_stack.run("get", job, "-o", tmp_path / "out.mp4")
    assert answer.code == 0, answer.err
    after = read_clip(tmp_path / "out.mp4", pictures=False)
    assert len(after.video_pts) == 600
    assert after.audio == read_clip(long_clip, pictures=False).audio


def test_kill_9_of_the_supervisor_leaves_no_process_port_or_shared_memory(own_stack: Stack, long_clip: Path) -> None:
    submitted(own_stack, long_clip)
    ports = [int(own_stack.state[wire].rsplit(":", 1)[-1]) for wire in ("grpc", "rest")]
    assert len(processes_of(own_stack.data)) >= 6
    os.kill(own_stack.process.pid, signal.SIGKILL)
    own_stack.process.wait(10)
    wait_until(lambda: not processes_of(own_stack.data), "every process of the stack to be gone", within=20)
    assert not any(listens(port) for port in ports)
    assert not (own_stack.data / "stack.json").exists()
    assert shared_memory_of(own_stack.data) == set()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["ctrl-c", "sigterm"])
def test_a_stack_that_is_told_to_stop_is_gone_within_its_bound(own_stack: Stack, number: signal.Signals) -> None:
    own_stack.process.send_signal(number)
    own_stack.process.wait(30)
    assert processes_of(own_stack.data) == {}
    assert not (own_stack.data / "stack.json").exists()


def test_a_cancelled_job_stops_within_two_seconds_and_leaves_no_result(stack: Stack, long_clip: Path) -> None:
    job = submitted(stack, long_clip)
    with stack.start("watch", job, "--json") as watch:
        read_until_frames(watch)
        assert stack.run("cancel", job).code == 0
        assert watch.stdout is not None
        last = [json.loads(line) for line in watch.stdout][-2:]
    assert watch.returncode == 1
    assert "JOB_STATE_CANCELLED" in json.dumps(last)
    assert not list((stack.data / "objects").rglob(f"results/{job}/**/*"))
