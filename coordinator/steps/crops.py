"""Which part of a frame a model is shown to fill a box: the box, and what lies around it.

+---------------- frame
|   +--area------+
|   |            |
|   |  |=box=|   |
|   |            |
|   +------------+
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from coordinator.steps.interface import FrameSize
from coordinator.steps.tiles import most_pixels
from framewire.errors import ErrorCode, StepError, Violation
from framewire.steps.contract import ModelContract
from framewire.steps.inpaint import Box

_AROUND: Final = 64
"""Pixels each side that are shown at least, where the model takes as many; of a large box half its longer side."""
_LEAST_AROUND: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Crop:
    """A box, and what the model is shown for it. Both in pixels of the frame, and inside it."""

    box: Box
    area: Box
    given: FrameSize
    """Of the picture that goes to the model: that of `area`, or larger where the frame has not the model's multiple."""


def plan_crops(contract: ModelContract, boxes: Sequence[Box], size: FrameSize) -> tuple[Crop, ...]:
    """A crop for each box, in their order; of boxes that reach over the edge, what is inside.

    Raises StepError: STEP_INVALID for a box outside of frames of `size`, or that leaves nothing to fill it from;
    MODEL_TOO_LARGE for one that is larger than what the model takes at a time.
    """
    frame = Box(left=0, top=0, right=size.width, bottom=size.height)
    return tuple(_crop(contract, _inside(box, frame), frame) for box in boxes)


def _inside(box: Box, frame: Box) -> Box:
    inside = box.within(frame)
    if inside.empty:
        raise _invalid(f"box {box} lies outside of the frames, which are {frame.width}x{frame.height}")
    if inside == frame:
        raise _invalid(f"box {box} covers all of {frame.width}x{frame.height}: there is nothing left to fill it from")
    return inside


def _crop(contract: ModelContract, box: Box, frame: Box) -> Crop:
    limit = most_pixels(contract)
    for around in _widths(box):
        crop = _around(box, around, frame, contract.size_multiple)
        if not limit or crop.given.height * crop.given.width <= limit:
            return crop
    message = (
        f"model {contract.name} takes {limit} pixels at a time: too few for box {box} and what is around it; "
        "name smaller boxes, or scale the film down"
    )
    raise StepError(message, code=ErrorCode.MODEL_TOO_LARGE, violations=[Violation("inpaint.boxes", message)])


def _widths(box: Box) -> Iterator[int]:
    around = max(_AROUND, max(box.width, box.height) // 2)
    while around >= _LEAST_AROUND:
        yield around
        around //= 2


def _around(box: Box, by: int, frame: Box, multiple: int) -> Crop:
    area = box.grown(by).within(frame)
    left, right, width = _fitted(area.left, area.right, frame.width, multiple)
    top, bottom, height = _fitted(area.top, area.bottom, frame.height, multiple)
    whole = Box(left=left, top=top, right=right, bottom=bottom)
    return Crop(box=box, area=whole, given=FrameSize(height=height, width=width))


def _fitted(start: int, end: int, length: int, multiple: int) -> tuple[int, int, int]:
    """Start and end along one axis, grown inside of `length` to a multiple if there is room; and that multiple."""
    wanted = -(-(end - start) // multiple) * multiple
    if wanted > length:
        return 0, length, -(-length // multiple) * multiple
    start = min(start, length - wanted)
    return start, start + wanted, wanted


def _invalid(message: str) -> StepError:
    return StepError(message, violations=[Violation("inpaint.boxes", message)])
