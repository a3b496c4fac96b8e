"""Which implementation belongs to which step: the one table of what this worker can do."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from coordinator.inference.interface import InferenceServer
from coordinator.steps import denoise, enhance, inpaint
from coordinator.steps.interface import FrameStep
from framewire.errors import ErrorCode, StepError
from framewire.v1.step_pb2 import Step

Prepare = Callable[[Any, InferenceServer], Sequence[FrameStep]]
"""From a step's own message and the model server to what is done to each frame, in order. Raises StepError or
Unavailable."""

STEPS: Mapping[str, Prepare] = {
    "enhance": enhance.prepare,
    "denoise": denoise.prepare,
    "inpaint": inpaint.prepare,
}
"""By the name of the step's field in `Step`."""


def prepare_steps(steps: Sequence[Step], server: InferenceServer) -> list[FrameStep]:
    """Every step of a job, in order. Raises StepError (STEP_UNKNOWN, STEP_INVALID, MODEL_UNKNOWN) or Unavailable."""
    return [prepared for step in steps for prepared in _prepare(step, server)]


def _prepare(step: Step, server: InferenceServer) -> Sequence[FrameStep]:
    kind = step.WhichOneof("kind")
    if kind is None or kind not in STEPS:
        raise StepError(f"this worker has no step {kind or 'of that kind'}", code=ErrorCode.STEP_UNKNOWN)
    return STEPS[kind](getattr(step, kind), server)
