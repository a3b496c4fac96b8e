"""Runners that are in their sandbox and connected before they have an order."""

from __future__ import annotations

import os
import select
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest
from clips import Clip, make_clip
from talking_clips import Talk, make_talk
from triton_server import RunningTriton

from coordinator.ahead import RunnerPlace
from coordinator.sandbox import Mode, layers
from coordinator.settings import runner_environment
from framewire.v1.step_pb2 import CutSilence, Enhance, Step
from framewire.work.v1.work_pb2 import InferenceAddress, RunnerOrder, RunnerReport

SANDBOX = Mode.REQUIRE if all(layer.here for layer in layers()) else Mode.PREFER
confined = pytest.mark.skipif(SANDBOX is not Mode.REQUIRE, reason="this machine lacks a layer of the sandbox")


@contextmanager
def runner_at(place: RunnerPlace) -> Iterator[subprocess.Popen[bytes]]:
    """A runner that knows its place, and waits."""
    runner = subprocess.Popen(
        [sys.executable, "-m", "coordinator.runner"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=runner_environment(os.environ) | {"FRAMEWIRE_SANDBOX": SANDBOX} | place.variables,
    )
    assert runner.stdin
    assert runner.stdout
    try:
        yield runner
    finally:
        runner.kill()
        runner.wait()
        runner.stdin.close()
        runner.stdout.close()


def last_report(runner: subprocess.Popen[bytes], order: RunnerOrder) -> RunnerReport:
    """How it ended."""
    assert runner.stdin
    assert runner.stdout
    payload = order.SerializeToString()
    runner.stdin.write(len(payload).to_bytes(4, "big") + payload)
    runner.stdin.flush()
    data, report = runner.stdout.read(), RunnerReport()
    while data:
        size = int.from_bytes(data[:4], "big")
        report, data = RunnerReport.FromString(data[4 : 4 + size]), data[4 + size :]
    return report


def order_for(source: Path, target: Path) -> RunnerOrder:
    return RunnerOrder(
        job_id="job_1",
        attempt=1,
        steps=[Step(enhance=Enhance(scale=2))],
        input_path=str(source),
        output_path=str(target),
        inference=InferenceAddress(url="127.0.0.1:9"),  # it has a connection already: nobody is asked here
    )


def address_of(triton: RunningTriton) -> InferenceAddress:
    return InferenceAddress(url=triton.url, key=triton.key, shared_memory=True)


def test_a_job_in_the_place_the_runner_was_told_is_done(tmp_path: Path, triton_server: RunningTriton) -> None:
    with runner_at(RunnerPlace(folder=tmp_path, inference=address_of(triton_server))) as runner:
        source = make_clip(tmp_path / "in.mp4", Clip(frames=10))  # 64x48 H.264, as it comes after the runner
        report = last_report(runner, order_for(source, tmp_path / "out.mp4"))
    assert report.HasField("done"), report
    assert report.done.fidelity.frames_out == 10


@confined
def test_a_file_outside_of_it_cannot_be_read(tmp_path: Path, triton_server: RunningTriton) -> None:
    (place := tmp_path / "place").mkdir()
    with runner_at(RunnerPlace(folder=place, inference=address_of(triton_server))) as runner:
        source = make_clip(tmp_path / "in.mp4", Clip(frames=10))
        report = last_report(runner, order_for(source, place / "out.mp4"))
    assert report.failed.error.code == "MEDIA_UNREADABLE", report


def test_a_runner_whose_server_is_away_connects_with_its_order(tmp_path: Path, triton_server: RunningTriton) -> None:
    away = InferenceAddress(url="127.0.0.1:9", shared_memory=True)
    with runner_at(RunnerPlace(folder=tmp_path, inference=away)) as runner:
        source = make_clip(tmp_path / "in.mp4", Clip(frames=10))
        order = order_for(source, tmp_path / "out.mp4")
        order.inference.CopyFrom(address_of(triton_server))
        report = last_report(runner, order)
    assert report.HasField("done"), report


def test_a_server_that_hangs_keeps_nobody_from_a_job_without_models(tmp_path: Path) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as hanging,  # takes connections, and says nothing
        runner_at(RunnerPlace(folder=tmp_path, inference=_address_of(hanging))) as runner,
    ):
        source = make_talk(tmp_path / "in.mp4", Talk(seconds=3, words=((1, 2),)))
        order = order_for(source, tmp_path / "out.mp4")
        order.steps[0].CopyFrom(Step(cut_silence=CutSilence()))
        report = last_report(runner, order)
    assert report.HasField("done"), report


def test_a_runner_that_loses_its_server_while_it_waits_leaves(tmp_path: Path) -> None:
    server = grpc.server(ThreadPoolExecutor(1))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    with runner_at(RunnerPlace(folder=tmp_path, inference=InferenceAddress(url=f"127.0.0.1:{port}"))) as runner:
        gone = os.pidfd_open(runner.pid)
        _until_connected(port)
        server.stop(None).wait()
        assert select.select([gone], [], [], 20)[0], "it still waits, for an order it could do nothing with"
        os.close(gone)
        assert runner.wait(5) == 0


def _address_of(server: socket.socket) -> InferenceAddress:
    return InferenceAddress(url=f"127.0.0.1:{server.getsockname()[1]}")


def _until_connected(port: int) -> None:
    """Wait for an established connection to this port of this host, other than one that was just looked for."""
    wanted = f":{port:04X} "
    for _ in range(200):
        lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
        if any(line.split()[2].endswith(wanted.strip()) and line.split()[3] == "01" for line in lines):
            return
        select.select([], [], [], 0.1)
    raise TimeoutError("the runner does not connect")
