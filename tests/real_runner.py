"""One order in a runner's own process, in the sandbox where there is one."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

from coordinator.sandbox import Mode, layers
from coordinator.settings import runner_environment
from framewire.work.v1.work_pb2 import RunnerOrder, RunnerReport

SANDBOX = Mode.REQUIRE if all(layer.here for layer in layers()) else Mode.PREFER
"""Where the machine has every layer, real jobs have to run in all of them."""


def execute(order: RunnerOrder) -> list[RunnerReport]:
    """Run one order in a runner of its own; its reports."""
    payload = order.SerializeToString()
    runner = subprocess.Popen(
        [sys.executable, "-m", "coordinator.runner"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=runner_environment(os.environ) | {"FRAMEWIRE_SANDBOX": SANDBOX},
    )
    assert runner.stdin
    assert runner.stdout
    try:
        runner.stdin.write(len(payload).to_bytes(4, "big") + payload)
        runner.stdin.flush()
        data = runner.stdout.read()
        assert runner.wait(30) == 0
    finally:
        runner.kill()
        runner.wait()
        runner.stdin.close()
        runner.stdout.close()
    return list(_messages(data))


def _messages(data: bytes) -> Iterator[RunnerReport]:
    while data:
        size = int.from_bytes(data[:4], "big")
        yield RunnerReport.FromString(data[4 : 4 + size])
        data = data[4 + size :]
