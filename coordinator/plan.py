"""Sizes of everything a job holds in memory, decided before the first frame.

Frames are padded once, when they are decoded, so that every step of the chain gets sizes it can
take, and cropped once, when they are encoded: in between blocks go from step to step untouched.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from coordinator.steps.interface import FrameSize, FrameStep

BLOCK_BYTES = 16 << 20
"""What a block is made to fit into when one frame does: large batches gain little and hold much."""
MAX_BATCH = 8
BLOCKS = 4
"""Blocks between two stages: one being filled, two under way, one being read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Frame sizes along the chain, and frames per batch."""

    batch: int
    """Most frames in a block."""
    padded: tuple[FrameSize, ...]
    """Size of the frames in memory before the first step, between steps, and after the last."""
    content: FrameSize
    """Part of the first of them, from the top left, that is picture."""
    result: FrameSize
    """Part of the last of them that is encoded; even, as 4:2:0 has to be."""
    scale: int
    """Size behind the last step / size before the first, per side."""
    waiting: int
    """Most batches that wait in front of the first step, and behind the last."""


def make_plan(size: FrameSize, steps: Sequence[FrameStep]) -> Plan:
    """The plan for frames of `size` through `steps`."""
    multiple, scale = _input_multiple(steps)
    padded = [FrameSize(height=_round_up(size.height, multiple), width=_round_up(size.width, multiple))]
    for step in steps:
        padded.append(padded[-1].times(step.scale))
    largest = max(frame.bytes for frame in padded)
    return Plan(
        batch=_batch(largest, steps),
        waiting=1 if largest > BLOCK_BYTES else BLOCKS,  # such a frame takes longer than its way from stage to stage
        padded=tuple(padded),
        content=size,
        result=FrameSize(height=_round_up(size.height * scale, 2), width=_round_up(size.width * scale, 2)),
        scale=scale,
    )


def _input_multiple(steps: Sequence[FrameStep]) -> tuple[int, int]:
    """What the first frames' size has to be a multiple of, so that every later size fits too; and the whole scale."""
    multiple, scale = 1, 1
    for needed, following in [*((step.size_multiple, step.scale) for step in steps), (2, 1)]:
        multiple = math.lcm(multiple, needed // math.gcd(needed, scale))
        scale *= following
    return multiple, scale


def _batch(largest_frame: int, steps: Sequence[FrameStep]) -> int:
    fitting = max(1, BLOCK_BYTES // largest_frame)
    return min(fitting, MAX_BATCH, *(step.max_batch for step in steps))


def _round_up(number: int, multiple: int) -> int:
    return -(-number // multiple) * multiple
