"""One job from order to result: look at the input, run the pipeline, prove what it did."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from coordinator.flow import Aborted
from coordinator.inference.interface import InferenceServer
from coordinator.media.codecs import EncoderSettings
from coordinator.media.fidelity import fidelity_report
from coordinator.media.limits import MediaLimits
from coordinator.media.probe import Inspection, inspect
from coordinator.pipeline import Pipeline, Result
from coordinator.progress import ProgressMeter
from coordinator.steps.registry import prepare_steps
from framewire.errors import ErrorCode, FramewireError, MediaError
from framewire.v1.job_pb2 import Error, LogLine, OutputSettings, Progress
from framewire.work.v1.work_pb2 import InferenceAddress, RunnerDone, RunnerFailed, RunnerOrder, RunnerReport

log = logging.getLogger(__name__)

Connect = Callable[[InferenceAddress], InferenceServer]
"""From an address to a connected model server."""
KEEP_ALIVE_SECONDS = 5.0
"""Progress is repeated this often while no frame comes out, so that slow work is not taken for death."""


class Job:
    """One order, executed once."""

    def __init__(self, order: RunnerOrder, send: Callable[[RunnerReport], None], connect: Connect) -> None:
        self._order = order
        self._send = send
        self._connect = connect
        self._source = Path(order.input_path)
        self._target = Path(order.output_path)
        self._limits = MediaLimits()
        self._pipeline: Pipeline | None = None
        self._handed_over = False

    def execute(self) -> None:
        """Do it and report how it ended. Raises flow.Aborted after `stop`."""
        try:
            done = self._run()
            self._handed_over = True
            self._send(RunnerReport(done=done))
        except FramewireError as error:
            # the file's fault is told in one line; a traceback is for what somebody here has to look into
            log.info("failed: %s", error.message, exc_info=None if isinstance(error, MediaError) else error.__cause__)
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

    def stop(self) -> bool:
        """Have `execute` end soon, without a result; False when there is nothing to wait for. From another thread."""
        if self._pipeline is not None:
            self._pipeline.stop()
        return self._pipeline is not None

    def discard(self) -> None:
        """Delete what there is of a result, unless it has been handed over."""
        if not self._handed_over:
            self._target.unlink(missing_ok=True)

    def _run(self) -> RunnerDone:
        # connected first: then the network can be closed before the first byte of a stranger's file is looked at
        with contextlib.closing(self._connect(self._order.inference)) as server:
            inspection = inspect(self._source, self._limits)
            self._send(RunnerReport(probed=inspection.media))
            result = self._process(inspection, server)
        return self._compare(inspection, result)

    def _process(self, inspection: Inspection, server: InferenceServer) -> Result:
        meter = ProgressMeter(inspection.video.frames, self._progress)
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
        with _kept_alive(meter):
            result = self._pipeline.run()
        self._pipeline = None
        meter.finish(result.frames_out)
        for remark in result.remarks:
            self._send(RunnerReport(log=LogLine(level="warning", text=remark)))
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

    def _progress(self, progress: Progress) -> None:
        self._send(RunnerReport(progress=progress))

    def _fail(self, code: ErrorCode, message: str, *, retryable: bool = False) -> None:
        self.discard()
        error = Error(code=code, message=message)
        self._send(RunnerReport(failed=RunnerFailed(error=error, retryable=retryable)))


def encoder_settings(output: OutputSettings) -> EncoderSettings:
    """The encoder's settings, with its own defaults for what is not set."""
    defaults = EncoderSettings()
    return EncoderSettings(
        crf=output.crf if output.HasField("crf") else defaults.crf, preset=output.preset or defaults.preset
    )


@contextlib.contextmanager
def _kept_alive(meter: ProgressMeter) -> Iterator[None]:
    """Repeat the progress now and then, from a thread, until the block ends."""
    ended = threading.Event()

    def repeat() -> None:
        with contextlib.suppress(BrokenPipeError):  # the main thread finds out too
            while not ended.wait(KEEP_ALIVE_SECONDS):
                meter.repeat(KEEP_ALIVE_SECONDS)

    thread = threading.Thread(target=repeat, name="keep alive", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
