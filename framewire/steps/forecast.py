"""What follows from steps alone: sizes, lengths and numbers of frames behind each of them. No media, no servers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from framewire.edits.edit_list import WHOLE
from framewire.edits.wire import cut_list_from_proto
from framewire.steps.catalogue import lane_of, model_of, step_name
from framewire.steps.output import codec_of
from framewire.v1.asset_pb2 import VideoInfo
from framewire.v1.job_pb2 import EstimateJobRequest, EstimateJobResponse, StepEstimate
from framewire.v1.step_pb2 import CutList, ModelInfo, Step


def complete(looked: EstimateJobResponse, request: EstimateJobRequest, models: Sequence[ModelInfo]) -> None:
    """Fill in what the look into the file has left open: lane, sizes, lengths, codec.

    `looked` has the input, and of each step what only the file's bytes tell. A size is 0 behind a model that nobody
    serves now.
    """
    scales = {model.name: model.scale for model in models}
    video, duration = looked.input.video, _duration(looked)
    for step, estimate in zip(request.steps, looked.steps, strict=True):
        video, duration = _behind(step, estimate, video, duration, scales)
        estimate.video.CopyFrom(video)
        estimate.duration = duration
    looked.lane = lane_of(request.steps)
    looked.duration = duration
    looked.video.CopyFrom(video)
    looked.video.codec, looked.video.pixel_format = codec_of(request.output), ""


def _duration(looked: EstimateJobResponse) -> float:
    video = looked.input.video
    return video.frames / video.fps if video.frames and video.fps else looked.input.duration


def _behind(
    step: Step, estimate: StepEstimate, video: VideoInfo, duration: float, scales: Mapping[str, int]
) -> tuple[VideoInfo, float]:
    behind = VideoInfo()
    behind.CopyFrom(video)
    if step.HasField("cut_silence"):
        duration = estimate.cut.seconds_out
        behind.frames = round(_seconds_of_frames(estimate.cut.cuts) * video.fps)
    else:
        scale = _scale(step, scales)
        behind.width, behind.height = video.width * scale, video.height * scale
    return behind, duration


def _seconds_of_frames(cuts: CutList) -> float:
    """Of the film, whose frames are in the result: a faster part keeps as many a second as it has, a slower all."""
    return float(sum(span.taken / max(WHOLE, span.speed) for span in cut_list_from_proto(cuts).spans))


def _scale(step: Step, scales: Mapping[str, int]) -> int:
    """0: not known."""
    if step_name(step) == "enhance" and step.enhance.HasField("scale"):
        return step.enhance.scale
    return scales.get(model_of(step), 0) if step_name(step) == "enhance" else 1
