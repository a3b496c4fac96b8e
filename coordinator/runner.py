"""The child process that executes one job: `python -m coordinator.runner`.

    stdin   one RunnerOrder; then it stays open: its end means that the parent died or wants the runner to stop
    stdout  RunnerReports, the last of them `done` or `failed`
    exit    0 after `done` or `failed`; 143 after SIGTERM or the end of stdin

Messages are length-prefixed (4 bytes, big endian). The runner may be started before there is a job and wait
for its order with everything imported. It gets local paths and the address of a model server and knows
neither NATS nor the object store.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NoReturn

from coordinator.flow import Aborted
from coordinator.inference.interface import InferenceServer
from coordinator.media.encode import EncoderSettings
from coordinator.media.fidelity import fidelity_report
from coordinator.media.limits import MediaLimits
from coordinator.media.probe import Inspection, inspect
from coordinator.pipeline import Pipeline, Result
from coordinator.progress import ProgressMeter
from coordinator.sandbox import SandboxLimits, bound_files, enter
from coordinator.steps.registry import prepare_steps
from framewire.environment import Environment
from framewire.errors import ErrorCode, FramewireError
from framewire.logs import configure, log_context
from framewire.v1.job_pb2 import Error, LogLine, OutputSettings, Progress
from framewire.work.v1.work_pb2 import InferenceAddress, RunnerDone, RunnerFailed, RunnerOrder, RunnerReport

log = logging.getLogger(__name__)

Connect = Callable[[InferenceAddress], InferenceServer]
"""From an address to a connected model server."""

STOPPED = 128 + signal.SIGTERM
STOP_SECONDS = 5.0
"""How long a stopped job gets to give memory back before the process ends without."""
_MAX_ORDER = 1 << 20


class Reports:
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

    def progress(self, progress: Progress) -> None:
        """Send progress."""
        self.send(RunnerReport(progress=progress))

    def warn(self, text: str) -> None:
        """Send a line that people should see on the job."""
        self.send(RunnerReport(log=LogLine(level="warning", text=text)))


class Job:
    """One order, executed once."""

    def __init__(self, order: RunnerOrder, reports: Reports, connect: Connect) -> None:
        self._order = order
        self._reports = reports
        self._connect = connect
        self._source = Path(order.input_path)
        self._target = Path(order.output_path)
        self._limits = MediaLimits()
        self._pipeline: Pipeline | None = None

    def execute(self) -> None:
        """Do it and report how it ended. Raises flow.Aborted after `stop`."""
        try:
            self._reports.send(RunnerReport(done=self._run()))
        except FramewireError as error:
            log.info("failed: %s", error.message, exc_info=error.__cause__)
            self._fail(error.code, error.message, retryable=error.retryable)
        except MemoryError:
            log.exception("out of memory")
            self._fail(
                ErrorCode.MEDIA_TOO_LARGE, "this job needs more memory than a job may use; scale the picture down"
            )
        except (Aborted, BrokenPipeError):
            raise
        except Exception:
            log.exception("a fault of our own")
            self._fail(ErrorCode.INTERNAL, "the job failed for a reason of our own; the worker's log has the details")

    def stop(self) -> None:
        """End soon, whatever is being done, without a result. For another thread than `execute`'s."""
        if self._pipeline is None:
            self.leave()
        self._pipeline.stop()
        threading.Event().wait(STOP_SECONDS)
        self.leave()

    def discard(self) -> None:
        """Delete what there is of a result."""
        self._target.unlink(missing_ok=True)

    def leave(self) -> NoReturn:
        """End the process now, without a result."""
        self.discard()
        os._exit(STOPPED)

    def _run(self) -> RunnerDone:
        inspection = inspect(self._source, self._limits)
        self._reports.send(RunnerReport(probed=inspection.media))
        with contextlib.closing(self._connect(self._order.inference)) as server:
            result = self._process(inspection, server)
        return self._compare(inspection, result)

    def _process(self, inspection: Inspection, server: InferenceServer) -> Result:
        meter = ProgressMeter(inspection.video.frames, self._reports.progress)
        meter.update(0)
        self._pipeline = Pipeline(
            self._source,
            self._target,
            inspection,
            prepare_steps(self._order.steps, server),
            server,
            settings=encoder_settings(self._order.output),
            limits=self._limits,
            on_frames=meter.update,
        )
        result = self._pipeline.run()
        meter.finish(result.frames_out)
        for remark in result.remarks:
            self._reports.warn(remark)
        return result

    def _compare(self, inspection: Inspection, result: Result) -> RunnerDone:
        media = inspect(self._target, self._limits).media
        fidelity = fidelity_report(
            self._source,
            self._target,
            frames_in=result.frames_in,
            media_in=inspection.media,
            media_out=media,
            limits=self._limits,
        )
        for stage in result.usage:
            log.info("%s: %.2f s of processor, %.2f s in all", stage.name, stage.cpu_seconds, stage.wall_seconds)
        return RunnerDone(fidelity=fidelity, media=media)

    def _fail(self, code: ErrorCode, message: str, *, retryable: bool = False) -> None:
        self.discard()
        error = Error(code=code, message=message)
        self._reports.send(RunnerReport(failed=RunnerFailed(error=error, retryable=retryable)))


def encoder_settings(output: OutputSettings) -> EncoderSettings:
    """The encoder's settings, with its own defaults for what is not set."""
    defaults = EncoderSettings()
    return EncoderSettings(
        crf=output.crf if output.HasField("crf") else defaults.crf, preset=output.preset or defaults.preset
    )


def main(connect: Connect, variables: Mapping[str, str]) -> int:
    """Run one job; returns the exit status."""
    reports = Reports(_take_stdout())
    environment = Environment(variables)
    configure(
        "runner",
        style=environment.text("FRAMEWIRE_LOG_STYLE", "text"),
        level=environment.text("FRAMEWIRE_LOG_LEVEL", "INFO"),
    )
    # blocked here, before there is another thread, so that only the thread that waits for them gets them
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
    limits = SandboxLimits()
    enter(limits)
    running: list[Job] = []
    _thread("signals", lambda: _stop_on_signal(running))
    order = _read_order()
    if order is None:
        return 0
    bound_files(limits, Path(order.input_path).stat().st_size if Path(order.input_path).exists() else 0)
    job = Job(order, reports, connect)
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


def _stop_on_signal(running: list[Job]) -> None:
    signal.sigwait({signal.SIGTERM, signal.SIGINT})
    if not running:
        os._exit(STOPPED)
    running[0].stop()


def _stop_at_end_of_stdin(job: Job) -> None:
    while os.read(0, 4096):
        pass
    job.stop()


def _thread(name: str, target: Callable[[], None]) -> None:
    threading.Thread(target=target, name=name, daemon=True).start()


def connect_triton(address: InferenceAddress) -> InferenceServer:
    """The model server at this address."""
    from coordinator.inference.triton import TritonServer

    return TritonServer.connect(address)


if __name__ == "__main__":
    status = main(connect_triton, os.environ)
    logging.shutdown()
    os._exit(status)  # what threads of codecs and gRPC still do is of no use to anybody
