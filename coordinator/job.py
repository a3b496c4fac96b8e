"""One job from order to result: look at the input, run the pipeline, prove what it did."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from coordinator.bounds import OutputBounds
from coordinator.cutting import cut_step, expected_frames, frame_steps, may_copy, run_cut
from coordinator.flow import Aborted
from coordinator.inference.interface import InferenceServer
from coordinator.media.codecs import EncoderSettings, choose_encoding
from coordinator.media.cut.obstacles import CannotCopy
from coordinator.media.fidelity import Work, fidelity_report
from coordinator.media.limits import MediaLimits
from coordinator.media.probe import Inspection, inspect
from coordinator.media.sound.edited import FADE
from coordinator.media.thumbnail import make_film_thumbnail, make_thumbnail
from coordinator.moments import Moments
from coordinator.order import Order, Reports, Result
from coordinator.pipeline import Pipeline
from coordinator.progress import ProgressMeter, kept_alive
from coordinator.resume import earlier_work, fingerprint
from coordinator.silence import decide_cuts
from coordinator.steps.interface import FrameStep
from coordinator.steps.registry import prepare_steps
from coordinator.usage import usage_lines, usage_message
from framewire.edits.edit_list import EditList
from framewire.errors import ErrorCode, FramewireError, MediaError, WorkerError
from framewire.steps.catalogue import models_of
from framewire.steps.cut_silence import read_cut_settings
from framewire.steps.inpaint import what_was_filled
from framewire.steps.output import codec_of, container_of
from framewire.v1.job_pb2 import (
    CutFidelity,
    Error,
    LogLine,
    OutputSettings,
    Progress,
)
from framewire.v1.step_pb2 import CutSilence
from framewire.work.v1.work_pb2 import InferenceAddress, RunnerDone, RunnerFailed, RunnerOrder, RunnerReport

log = logging.getLogger(__name__)

Connect = Callable[[InferenceAddress], InferenceServer | None]
"""From an address to a connected model server; None for an empty address, when nobody will be asked for anything."""
LISTENING, LISTENING_IN_A_CHAIN = 0.3, 0.02
"""Of a job that cuts, about so much time goes by before it is known what is kept."""
KEEP_ALIVE_SECONDS = 5.0
"""Progress is repeated this often while no frame comes out, so that slow work is not taken for death."""


@dataclass(frozen=True, slots=True)
class _Done:
    """A result, and how it was cut when it was not encoded."""

    result: Result
    cut: CutFidelity | None = None


class Job:
    """One order, executed once."""

    def __init__(
        self,
        order: RunnerOrder,
        send: Callable[[RunnerReport], None],
        connect: Connect,
        moments: Moments | None = None,
    ) -> None:
        """`moments`: where the ways to the first frame are noted behind those that are."""
        self._order = order
        self._send = send
        self._connect = connect
        self._source = Path(order.input_path)
        self._target = Path(order.output_path)
        self._segments = Path(order.segments_path or f"{order.output_path}.segments")
        self._limits = MediaLimits()
        self._pipeline: Pipeline | None = None
        self._remarks: list[str] = []
        self._handed_over = False
        self._moments = moments or Moments()

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
        began = time.monotonic()
        # connected first: then the network can be closed before the first byte of a stranger's file is looked at
        server = self._connect(self._order.inference if models_of(self._order.steps) else InferenceAddress())
        self._moments.note("model server connected")
        meter = ProgressMeter(0, self._progress)
        # from beginning to end: looking for the first picture of a long file and comparing it take their time, too
        with (
            contextlib.closing(server) if server else contextlib.nullcontext(),
            kept_alive(meter, every=KEEP_ALIVE_SECONDS),
        ):
            inspection = inspect(self._source, self._limits)
            self._moments.note("film looked into")
            self._send(RunnerReport(probed=inspection.media))
            meter.expect(inspection.video.frames)
            done = self._process(inspection, server, meter)
            if server is not None:
                server.close()  # its memory goes back before the comparison, which needs none of it
            return self._compare(inspection, done, began)

    def _process(self, inspection: Inspection, server: InferenceServer | None, meter: ProgressMeter) -> _Done:
        steps = prepare_steps(frame_steps(self._order.steps), server) if server else []
        self._moments.note("contracts read")
        order = self._pipeline_order(inspection, server, meter)
        if order.edits is not None:
            meter.expect(expected_frames(order.edits, inspection))
        reports = Reports(
            frames=meter.update,
            unit=lambda unit: self._send(RunnerReport(segment=unit)),
            preview=lambda preview: self._send(RunnerReport(preview=preview)),
            moment=self._moments.note,
        )
        done = self._cut(order, inspection, reports) or self._encode(order, inspection, steps, server, reports)
        meter.finish(done.result.frames_out)
        for remark in done.result.remarks:
            self._say("warning", remark)
        return done

    def _cut(self, order: Order, inspection: Inspection, reports: Reports) -> _Done | None:
        """What can be had by copying; None when the pipeline has to do it."""
        if order.edits is None or not may_copy(self._order.steps, self._order.output):
            return None
        try:
            return _Done(*run_cut(order, inspection, self._limits, reports))
        except CannotCopy as obstacle:
            log.info("cannot be cut by copying: %s", obstacle)
            self._remarks.append(f"the whole film was encoded again: {obstacle.obstacle}")
            return None

    def _encode(
        self,
        order: Order,
        inspection: Inspection,
        steps: Sequence[FrameStep],
        server: InferenceServer | None,
        reports: Reports,
    ) -> _Done:
        reports.frames(order.earlier.last.frames_out)
        self._pipeline = Pipeline(order, inspection, steps, server, limits=self._limits, reports=reports)
        result = self._pipeline.run()
        self._pipeline = None
        return _Done(replace(result, remarks=(*result.remarks, *self._remarks)))

    def _pipeline_order(self, inspection: Inspection, server: InferenceServer | None, meter: ProgressMeter) -> Order:
        self._segments.mkdir(parents=True, exist_ok=True)
        settings = encoder_settings(self._order.output)
        models = [server.contract(model) for model in sorted(models_of(self._order.steps))] if server else []
        tools = [*models, choose_encoding(settings, inspection.video)]  # a GPU and a processor encode differently
        step = cut_step(self._order.steps)
        edits = self._decide_cuts(step, inspection, meter) if step else None
        if edits is not None:
            tools.append(edits)
        work = fingerprint(self._order.steps, self._order.output, tools, inspection.video, self._source)
        earlier, why = earlier_work(self._order.resume, work)
        if why:
            self._say("info", why)
        return Order(
            source=self._source,
            target=self._target,
            segments=self._segments,
            settings=settings,
            bounds=OutputBounds.of(self._order.output),
            fingerprint=work,
            earlier=earlier,
            container=container_of(self._order.output),
            edits=edits,
            fade=read_cut_settings(step).fade if step else FADE,
        )

    def _decide_cuts(self, step: CutSilence, inspection: Inspection, meter: ProgressMeter) -> EditList:
        most = LISTENING_IN_A_CHAIN if frame_steps(self._order.steps) else LISTENING

        def tell(share: float) -> None:
            meter.prepare(most * share)

        tell(0.0)
        return decide_cuts(self._source, step, inspection, self._limits, tell=tell)

    def _compare(self, inspection: Inspection, done: _Done, began: float) -> RunnerDone:
        result = done.result
        made = self._look_at_result()
        fidelity = fidelity_report(
            self._source,
            self._target,
            source=inspection,
            result=made,
            work=Work(
                frames_in=result.frames_in,
                held=result.held,
                left_out=result.left_out,
                remarks=(*result.remarks, *what_was_filled(self._order.steps)),
                edits=result.edits,
                sounds=result.sounds,
                counters=result.counters,
            ),
            limits=self._limits.of_results(),
        )
        if done.cut is not None:
            fidelity.cut.CopyFrom(done.cut)
            fidelity.av_drift_ms = max(fidelity.av_drift_ms, done.cut.largest_offset_ms)
        fidelity.usage.CopyFrom(usage_message(result, wall=time.monotonic() - began, cpu=time.process_time()))
        fidelity.usage.start.extend(self._moments.messages())
        thumbnail = self._thumbnail(made, result)
        for line in usage_lines(result):
            log.info("%s", line)
        return RunnerDone(fidelity=fidelity, media=made.media, thumbnail_path=thumbnail)

    def _look_at_result(self) -> Inspection:
        """What was made. Raises WorkerError (INTERNAL) when it cannot be read: that is not the input's fault."""
        try:
            return inspect(self._target, self._limits.of_results())
        except MediaError as error:
            raise WorkerError(f"the result cannot be read back: {error.message}", code=ErrorCode.INTERNAL) from error

    def _thumbnail(self, made: Inspection, result: Result) -> str:
        """The file's path, or "": a result without one is still a result."""
        path = self._segments / "thumbnail.jpg"
        try:
            path.write_bytes(self._photograph(made, result))
        except Exception:
            log.exception("no thumbnail could be made")
            return ""
        return str(path)

    def _photograph(self, made: Inspection, result: Result) -> bytes:
        if not result.units:
            return make_film_thumbnail(self._target, made.video, made.media.duration, self._limits.of_results())
        third = result.frames_out / 3
        units = [Path(unit.path) for unit in result.units if unit.segment.first_frame <= third]
        return make_thumbnail(units, made.video)

    def _say(self, level: str, text: str) -> None:
        self._send(RunnerReport(log=LogLine(level=level, text=text)))

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
        codec=codec_of(output),
        crf=output.crf if output.HasField("crf") else defaults.crf,
        preset=output.preset or defaults.preset,
        depth=output.bit_depth,
        hardware=output.hardware,
    )
