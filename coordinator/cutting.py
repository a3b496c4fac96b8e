"""A job that cuts and does nothing else: no model server, no pipeline, packets are copied where they can be.

Such a job is not resumed: it is faster to begin again than to find out where it was.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from coordinator.account import Account
from coordinator.media.cut.obstacles import CannotCopy, Obstacle
from coordinator.media.cut.smart_cut import Cut, smart_cut
from coordinator.media.limits import MediaLimits
from coordinator.media.probe import Inspection
from coordinator.media.retiming import make_timing
from coordinator.order import Order, Reports, Result
from framewire.edits.edit_list import EditList
from framewire.errors import ErrorCode, MediaError, StepError
from framewire.steps.cut_silence import read_cut_settings
from framewire.v1.job_pb2 import CONTAINER_WEBM, VIDEO_CODEC_UNSPECIFIED, CutFidelity, OutputSettings
from framewire.v1.step_pb2 import CutSilence, Step


def cut_step(steps: Sequence[Step]) -> CutSilence | None:
    """The step that cuts, when there is one. There is one at most."""
    return next((step.cut_silence for step in steps if step.HasField("cut_silence")), None)


def frame_steps(steps: Sequence[Step]) -> list[Step]:
    """The steps that work on frames."""
    return [step for step in steps if not step.HasField("cut_silence")]


def may_copy(steps: Sequence[Step], output: OutputSettings) -> bool:
    """Whether the order leaves it open how pictures are encoded, so that they need not be encoded at all."""
    step = cut_step(steps)
    if step is None or frame_steps(steps) or not read_cut_settings(step).smart:
        return False
    asked = output.HasField("crf") or output.preset or output.bit_depth or output.hardware
    return output.codec == VIDEO_CODEC_UNSPECIFIED and output.container != CONTAINER_WEBM and not asked


def expected_frames(edits: EditList, inspection: Inspection) -> int:
    """Frames of a result; 0 when unknown."""
    return make_timing(inspection.video, edits).facts.frames


def run_cut(order: Order, inspection: Inspection, limits: MediaLimits, reports: Reports) -> tuple[Result, CutFidelity]:
    """Do it. Raises CannotCopy when the film has to be encoded again, FramewireError when it cannot be cut."""
    assert order.edits is not None  # noqa: S101 - there is nothing to cut by otherwise
    order.bounds.check_seconds(float(order.edits.seconds))

    def count(frames: int, size: int) -> None:
        order.bounds.check_bytes(size)
        reports.frames(frames)

    account = Account()
    with account.part("cut"):
        cut = _cut(order, order.edits, inspection, limits, count)
    order.bounds.check_bytes(order.target.stat().st_size)
    return _result(cut, order.edits, account), _fidelity(cut)


def _cut(
    order: Order, edits: EditList, inspection: Inspection, limits: MediaLimits, count: Callable[[int, int], None]
) -> Cut:
    try:
        return smart_cut(
            order.source,
            order.target,
            edits,
            facts=inspection.video,
            limits=limits,
            container=order.container,
            fade=order.fade,
            on_packet=count,
        )
    except CannotCopy:
        raise
    except MediaError as error:  # the pipeline gets over some damage, and tells of the rest better
        raise CannotCopy(Obstacle.DAMAGED, error.message) from error
    except ValueError as error:
        raise StepError(
            "nothing of the film is kept; lower the threshold or name what is always kept",
            code=ErrorCode.CUT_NOTHING_LEFT,
        ) from error


def _result(cut: Cut, edits: EditList, account: Account) -> Result:
    return Result(
        frames_in=cut.frames_in,
        frames_out=cut.frames,
        held=0,
        inferred=0,
        resumed=0,
        first_frame=None,
        container=cut.container,
        left_out=cut.left_out,
        counters={},
        units=(),
        remarks=(*(f"left out: {omission.what}: {omission.why}" for omission in cut.left_out), *cut.remarks),
        usage=(),
        parts=tuple(account.parts()),
        edits=edits,
        sounds=cut.sounds,
    )


def _fidelity(cut: Cut) -> CutFidelity:
    return CutFidelity(
        packets_copied=cut.copied,
        frames_encoded=cut.encoded,
        joins=cut.joins,
        sound_packets_copied=cut.sound_packets,
        largest_offset_ms=float(cut.furthest) * 1000,
    )
