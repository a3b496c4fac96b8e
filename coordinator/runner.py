"""The child process that executes one job: `python -m coordinator.runner`.

    stdin   one RunnerOrder; then it stays open: its end means that the parent died or wants the runner to stop
    stdout  RunnerReports, the last of them `done` or `failed`
    exit    0 after `done` or `failed`; 143 after SIGTERM or the end of stdin

Messages are length-prefixed (4 bytes, big endian). The runner may be started before there is a job and wait
for its order with everything imported. It gets local paths and the address of a model server and knows
neither NATS nor the object store.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NoReturn

from coordinator.flow import Aborted
from coordinator.inference.interface import InferenceServer
from coordinator.inference.triton import TritonServer
from coordinator.job import Connect, Job
from coordinator.sandbox import SandboxLimits, bound_files, enter
from framewire.environment import Environment
from framewire.logs import configure, log_context
from framewire.work.v1.work_pb2 import InferenceAddress, RunnerOrder, RunnerReport

STOPPED = 128 + signal.SIGTERM
STOP_SECONDS = 5.0
"""How long a stopped job gets to give memory back before the process ends without."""
_MAX_ORDER = 1 << 20


class ReportPipe:
    """Sends RunnerReports to the parent. Safe from several threads."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._lock = threading.Lock()

    def send(self, report: RunnerReport) -> None:
        """Write one message. Raises BrokenPipeError when nobody reads any more."""
        payload = report.SerializeToString()
        message = memoryview(len(payload).to_bytes(4, "big") + payload)
        with self._lock:
            while message:
                message = message[os.write(self._descriptor, message) :]


def main(connect: Connect, variables: Mapping[str, str]) -> int:
    """Run one job; returns the exit status."""
    reports = ReportPipe(_take_stdout())
    environment = Environment(variables)
    configure(
        "runner",
        style=environment.text("FRAMEWIRE_LOG_STYLE", "text"),
        level=environment.text("FRAMEWIRE_LOG_LEVEL", "INFO"),
    )
    signals = _signal_pipe()
    limits = SandboxLimits()
    enter(limits)
    running: list[Job] = []
    _thread("signals", lambda: _stop_on_signal(signals, running))
    order = _read_order()
    if order is None:
        return 0
    bound_files(limits, Path(order.input_path).stat().st_size if Path(order.input_path).exists() else 0)
    job = Job(order, reports.send, connect)
    running.append(job)
    _thread("stdin", lambda: _stop_at_end_of_stdin(job))
    with log_context(job_id=order.job_id, attempt=order.attempt):
        try:
            job.execute()
        except (Aborted, BrokenPipeError):
            job.discard()
            return STOPPED
    return 0


def _take_stdout() -> int:
    """The pipe to the parent, moved away from descriptor 1, where a stray print would corrupt it."""
    pipe = os.dup(1)
    os.dup2(2, 1)
    return pipe


def _read_order() -> RunnerOrder | None:
    """The order, waiting for it as long as it takes; None when the parent dismissed this runner without one."""
    header = _read_exactly(4)
    size = int.from_bytes(header, "big")
    if len(header) < 4 or size > _MAX_ORDER:
        return None
    payload = _read_exactly(size)
    return RunnerOrder.FromString(payload) if len(payload) == size else None


def _read_exactly(size: int) -> bytes:
    """`size` bytes of stdin, fewer at its end. Unbuffered: a thread blocked in a buffered reader stops the exit."""
    data = b""
    while len(data) < size and (chunk := os.read(0, size - len(data))):
        data += chunk
    return data


def _signal_pipe() -> int:
    """A pipe that can be read when SIGTERM or SIGINT came, whatever the main thread is doing.

    A handler in Python would wait until a decoder returns; blocking the signals does not keep them
    from the threads that numeric libraries start when they are imported.
    """
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    return reading


def _stop_on_signal(signals: int, running: list[Job]) -> None:
    os.read(signals, 1)
    if not running:
        os._exit(STOPPED)
    _end(running[0])


def _stop_at_end_of_stdin(job: Job) -> None:
    while os.read(0, 4096):
        pass
    _end(job)


def _end(job: Job) -> NoReturn:
    """End the process soon: by itself when a pipeline can be stopped, else at once."""
    if job.stop():
        threading.Event().wait(STOP_SECONDS)
    job.discard()
    os._exit(STOPPED)


def _thread(name: str, target: Callable[[], None]) -> None:
    threading.Thread(target=target, name=name, daemon=True).start()


def connect_triton(address: InferenceAddress) -> InferenceServer:
    """The model server at this address."""
    return TritonServer.connect(address)


if __name__ == "__main__":
    status = main(connect_triton, os.environ)
    logging.shutdown()
    os._exit(status)  # what threads of codecs and gRPC still do is of no use to anybody
