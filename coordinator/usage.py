"""What a run cost: where the time of one frame went, and who waited for whom."""

from __future__ import annotations

from collections.abc import Iterator

from coordinator.order import Result
from framewire.v1.job_pb2 import PartUsage, Usage


def usage_lines(result: Result) -> Iterator[str]:
    """A line for each part of the work, then one for each stage, then one on held frames."""
    frames = max(1, result.frames_out - result.resumed)
    for part in result.parts:
        yield f"part {part.name}: {1000 * part.seconds / frames:.2f} ms a frame, {part.seconds:.2f} s in all"
    for stage in result.usage:
        yield (
            f"stage {stage.name}: {stage.cpu_seconds:.2f} s of processor, {stage.wall_seconds:.2f} s in all, "
            f"{stage.waited_seconds:.2f} s of them waiting, busy {stage.occupancy:.0%}"
        )
    yield f"{result.inferred} frames went through the models, {result.held} repeat the one before"


def usage_message(result: Result, *, wall: float, cpu: float) -> Usage:
    """The same for programs. `wall` and `cpu`: seconds of the whole attempt, of the clock and of the processor."""
    usage = Usage(
        wall_seconds=wall,
        cpu_seconds=cpu,
        frames=result.frames_out - result.resumed,
        parts=[PartUsage(name=part.name, seconds=part.seconds, times=part.times) for part in result.parts],
    )
    if result.first_frame is not None:
        usage.first_frame_time.FromDatetime(result.first_frame)
    return usage
