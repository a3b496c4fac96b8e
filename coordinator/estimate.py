"""What steps would do to one file, sandboxed: `python -m coordinator.estimate PATH`.

    stdin   a framewire.v1.EstimateJobRequest
    stdout  a framewire.v1.EstimateJobResponse: the input, and of each step what only its bytes tell

coordinator/looking.py says how it answers and ends. What follows from the steps alone the asker knows.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from coordinator import looking
from coordinator.media.limits import MediaLimits
from coordinator.media.probe import Inspection, inspect
from coordinator.media.waveform import draw_waveform
from coordinator.sandbox import SandboxLimits
from coordinator.silence import CutAnalysis, analyse
from coordinator.speech.network import network
from framewire.edits.wire import cut_list_to_proto
from framewire.steps.catalogue import step_name
from framewire.v1.job_pb2 import CutEstimate, EstimateJobRequest, EstimateJobResponse, StepEstimate
from framewire.v1.step_pb2 import DETECTOR_SPEECH, Step

_LIMITS = SandboxLimits(memory_bytes=4 << 30, open_files=64, attempt_seconds=600, least_file_bytes=1 << 20)
_WIDTH, _HEIGHT = 1600, 240


def main(arguments: Sequence[str], variables: Mapping[str, str]) -> int:
    """The exit status."""
    if len(arguments) != 1:
        sys.stderr.write("usage: python -m coordinator.estimate PATH\n")
        return 2
    path = Path(arguments[0])

    def look() -> EstimateJobResponse:
        request = EstimateJobRequest.FromString(sys.stdin.buffer.read())
        if any(step.cut_silence.detector == DETECTOR_SPEECH for step in request.steps):
            network()  # its weights are a file, too
        looking.confine(path, variables, _LIMITS)
        return estimate(path, request)

    return looking.answer(look)


def estimate(path: Path, request: EstimateJobRequest, limits: MediaLimits | None = None) -> EstimateJobResponse:
    """The answer about the file. Raises MediaError, StepError."""
    limits = limits or MediaLimits()
    inspection = inspect(path, limits)
    steps = [_estimate(path, step, request, inspection, limits) for step in request.steps]
    return EstimateJobResponse(input=inspection.media, steps=steps)


def _estimate(
    path: Path, step: Step, request: EstimateJobRequest, inspection: Inspection, limits: MediaLimits
) -> StepEstimate:
    result = StepEstimate(name=step_name(step))
    if step.HasField("cut_silence"):
        width, height = _size(request)
        drawn = bool(width and height)
        analysis = analyse(path, step.cut_silence, inspection, limits, draw=drawn)
        result.cut.CopyFrom(cut_estimate(analysis))
        if drawn and analysis.wave is not None:
            result.cut.picture = draw_waveform(
                analysis.wave,
                analysis.edits,
                analysis.seconds,
                width=width,
                height=height,
                threshold=analysis.threshold,
            )
    return result


def cut_estimate(analysis: CutAnalysis) -> CutEstimate:
    """What would be kept, in numbers and as a list."""
    edits = analysis.edits
    return CutEstimate(
        cuts=cut_list_to_proto(edits),
        seconds_in=float(analysis.seconds),
        seconds_kept=float(edits.taken),
        seconds_cut=float(analysis.seconds - edits.taken),
        seconds_out=float(edits.seconds),
        joins=len(edits.spans) - 1,
    )


def _size(request: EstimateJobRequest) -> tuple[int, int]:
    return (
        request.picture_width if request.HasField("picture_width") else _WIDTH,
        request.picture_height if request.HasField("picture_height") else _HEIGHT,
    )


if __name__ == "__main__":
    looking.run(main)
