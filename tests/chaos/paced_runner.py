"""A scripted runner with one more action, `work SECONDS`: progress twenty times a second, as long as that."""

from __future__ import annotations

import time

import scripted_runner
from scripted_runner import progress

from framewire.work.v1.work_pb2 import RunnerOrder


def work(order: RunnerOrder, seconds: float) -> None:
    steps = max(1, int(seconds * 20))
    for step in range(steps):
        progress(order, step / steps)
        time.sleep(seconds / steps)


scripted_runner.ACTIONS["work"] = work

if __name__ == "__main__":
    scripted_runner.main()
