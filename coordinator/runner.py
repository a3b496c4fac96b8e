"""The child process that executes one job: `python -m coordinator.runner`.

    stdin   one RunnerOrder; then it stays open: its end means that the parent died or wants the runner to stop
    stdout  RunnerReports, the first of them `ready`, before any order; the last `done` or `failed`
    exit    0 after `done` or `failed`; 143 after SIGTERM or the end of stdin

Messages are length-prefixed (4 bytes, big endian). The runner may be started before there is a job and wait
for its order with everything imported. It gets local paths and the address of a model server and knows
neither NATS nor the object store.

One that is told its place ahead (`coordinator/ahead.py`) has entered its sandbox and connected to the model server by
the time its order comes. Any other does that then.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NoReturn

from coordinator.ahead import RunnerPlace, TellsOfLoss
from coordinator.flow import Aborted
from coordinator.inference import regions
from coordinator.inference.interface import InferenceServer
from coordinator.inference.triton import TritonServer
from coordinator.job import Connect, Job
from coordinator.moments import Moments
from coordinator.sandbox import Access, Mode, SandboxLimits, begin, bound_files, enter, seal
from coordinator.settings import sandbox_mode
from framewire.environment import Environment
from framewire.errors import FramewireError
from framewire.logs import configure, log_context
from framewire.v1.job_pb2 import Error
from framewire.work.v1.work_pb2 import InferenceAddress, RunnerFailed, RunnerOrder, RunnerReady, RunnerReport

STOPPED = 128 + signal.SIGTERM
STOP_SECONDS = 5.0
"""How long a stopped job gets to give memory back before the process ends without."""
CONNECT_SECONDS = 5.0
"""How long a model server may take to accept the connection."""
ANSWERS_SECONDS = 1.0
"""The same, when nothing depends on it yet."""
_HELLO = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes((0, 0, 0, 4, 0, 0, 0, 0, 0))
"""How HTTP/2 begins: its preface and settings without any. A server answers with its own settings, whose kind is 4."""
_MAX_ORDER = 1 << 24
"""Bytes: an order names every segment of earlier attempts."""


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
    mode = sandbox_mode(environment)
    limits = SandboxLimits()
    begin(limits)
    _leave_on_signal()
    connect = _sealing(connect, mode)
    place = RunnerPlace.of(environment)
    server = _go_ahead(place, mode, connect) if place else None
    moments = Moments()
    with _left_when_lost(server):
        with contextlib.suppress(BrokenPipeError):  # the end of stdin says the same
            reports.send(RunnerReport(ready=RunnerReady()))
        order = _read_order()
    moments.note("order read")
    if order is None:
        return 0
    with log_context(job_id=order.job_id, attempt=order.attempt):
        source = Path(order.input_path)
        bound_files(limits, source.stat().st_size if source.exists() else 0)
        try:
            if server is None:
                _confine(order, mode)
        except FramewireError as error:
            reports.send(RunnerReport(failed=RunnerFailed(error=Error(code=error.code, message=error.message))))
            return 0
        return _execute(Job(order, reports.send, connect if server is None else lambda _: server, moments))


def _execute(job: Job) -> int:
    signals = _signal_pipe()
    _thread("signals", lambda: _stop_on_signal(signals, job))
    _thread("stdin", lambda: _stop_at_end_of_stdin(job))
    try:
        job.execute()
    except (Aborted, BrokenPipeError):
        job.discard()
        return STOPPED
    return 0


def _go_ahead(place: RunnerPlace, mode: Mode, connect: Connect) -> InferenceServer | None:
    """Be where the job will find everything ready; None when that has to wait for the order.

    What is wrong with the sandbox is for the order to hear. A server that is away, or hangs, is tried again with the
    order, if that needs one.
    """
    address = InferenceAddress()
    address.CopyFrom(place.inference)
    regions.know_this_process()
    address.url = numeric(address.url)
    if not _answers(address.url):
        return None
    try:
        enter(access_ahead(place, address), mode)
    except FramewireError:
        return None
    return connect(address)


@contextlib.contextmanager
def _left_when_lost(server: InferenceServer | None) -> Iterator[None]:
    """Inside, the process ends when it loses the connection it has: it can make no other."""
    if not isinstance(server, TellsOfLoss):
        yield
        return
    end_watch = server.when_lost(lambda: os._exit(0))
    try:
        yield
    finally:
        end_watch()


def _confine(order: RunnerOrder, mode: Mode) -> None:
    """Enter the sandbox: while there is one thread, with everything looked up that cannot be looked up inside."""
    regions.know_this_process()
    order.inference.url = numeric(order.inference.url)
    enter(access_of(order), mode)


def access_ahead(place: RunnerPlace, address: InferenceAddress) -> Access:
    """What the job that will come may reach: one folder, where its files will be, and its model server."""
    return Access(write=(place.folder,), ports=_ports(address), shared_memory=address.shared_memory)


def access_of(order: RunnerOrder) -> Access:
    """What a job may reach: its files and its model server."""
    resumed = [path for stored in order.resume for path in (stored.path, stored.record_path) if path]
    folders = {Path(order.output_path).parent, *([Path(order.segments_path)] if order.segments_path else [])}
    return Access(
        read=(Path(order.input_path), *map(Path, resumed)),
        write=tuple(folders),
        ports=_ports(order.inference),
        shared_memory=order.inference.shared_memory,
        gpu=order.output.hardware,
    )


def _ports(address: InferenceAddress) -> tuple[int, ...]:
    port = address.url.rpartition(":")[2]
    return (int(port),) if port.isdecimal() else ()


def _answers(url: str) -> bool:
    """Whether somebody speaks HTTP/2 at the first of these numeric addresses; the kernel takes connections for one who
    hangs.
    """
    host, _, port = url.partition(":")[2].partition(",")[0].rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=ANSWERS_SECONDS) as wire:
            wire.sendall(_HELLO)
            return wire.recv(9, socket.MSG_WAITALL)[3:4] == b"\x04"
    except (OSError, ValueError):
        return False


def numeric(url: str) -> str:
    """`host:port` with the host's addresses, as gRPC takes them; as it is when the name is not known."""
    host, _, port = url.rpartition(":")
    try:
        found = socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM)
    except OSError:
        return url
    family = found[0][0]
    names = [address[0] for kind, *_, address in found if kind == family]
    if family == socket.AF_INET6:
        return "ipv6:" + ",".join(f"[{name}]:{port}" for name in names)
    return "ipv4:" + ",".join(f"{name}:{port}" for name in names)


def _sealing(connect: Connect, mode: Mode) -> Connect:
    """Connect, and close the network behind the connection; without an address only the latter."""

    def connect_and_seal(address: InferenceAddress) -> InferenceServer | None:
        server = connect(address) if address.url else None
        seal(mode)
        return server

    return connect_and_seal


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


def _leave_on_signal() -> None:
    """While there is nothing to stop: end at once. No thread may be started before the sandbox is entered."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: os._exit(STOPPED))


def _stop_on_signal(signals: int, job: Job) -> None:
    os.read(signals, 1)
    _end(job)


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
    """The model server at this address; connected, unless it is away."""
    server = TritonServer.connect(address)
    server.wait_until_connected(CONNECT_SECONDS)
    return server


if __name__ == "__main__":
    status = main(connect_triton, os.environ)
    logging.shutdown()
    os._exit(status)  # what threads of codecs and gRPC still do is of no use to anybody
