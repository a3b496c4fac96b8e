"""The rectangles of `inpaint`, read from the text they are written in."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from framewire.errors import StepError, Violation
from framewire.v1.step_pb2 import Step

MOST_BOXES: Final = 16
HOW_WRITTEN: Final[Mapping[str, str]] = {
    "boxes": f"takes boxes WIDTHxHEIGHT+LEFT+TOP such as 120x40+600+10, with / between them, {MOST_BOXES} at most"
}
"""Parameter -> how it is written, for people."""
NEEDED: Final[Mapping[str, str]] = {
    "boxes": "name what is to be filled: boxes=WIDTHxHEIGHT+LEFT+TOP",
    "model": "name a model that takes a mask; none is built in, `framewire models import` brings one in, such as LaMa",
}
"""Parameter -> what is said when it is missing."""
_BOX = re.compile(r"([1-9]\d{0,4})x([1-9]\d{0,4})\+(\d{1,5})\+(\d{1,5})", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """A rectangle in pixels; its right and bottom edges are outside."""

    left: int
    top: int
    right: int
    bottom: int

    @property
    def width(self) -> int:
        """Pixels; 0 or less when nothing is in it."""
        return self.right - self.left

    @property
    def height(self) -> int:
        """Pixels; 0 or less when nothing is in it."""
        return self.bottom - self.top

    @property
    def empty(self) -> bool:
        """Whether no pixel is in it."""
        return self.width <= 0 or self.height <= 0

    def within(self, other: Box) -> Box:
        """What of it lies in `other`; empty when nothing does."""
        return Box(
            left=max(self.left, other.left),
            top=max(self.top, other.top),
            right=min(self.right, other.right),
            bottom=min(self.bottom, other.bottom),
        )

    def grown(self, by: int) -> Box:
        """With `by` more pixels each side."""
        return Box(left=self.left - by, top=self.top - by, right=self.right + by, bottom=self.bottom + by)

    def __str__(self) -> str:
        """As `read_boxes` reads it."""
        return f"{self.width}x{self.height}+{self.left}+{self.top}"


def read_boxes(text: str, *, path: str = "inpaint.boxes") -> tuple[Box, ...]:
    """`120x40+600+10/80x20+0+340`. `path` is its place in the request. Raises StepError (STEP_INVALID)."""
    parts = text.split("/")
    found = [_BOX.fullmatch(part) for part in parts]
    if len(parts) > MOST_BOXES or not all(found):
        message = f"{HOW_WRITTEN['boxes']}; not {text!r}" if text else NEEDED["boxes"]
        raise StepError(message, violations=[Violation(path, message)])
    return tuple(_box(*(int(number) for number in each.groups())) for each in found if each)


def check_fillings(steps: Sequence[Step]) -> None:
    """Raise StepError (STEP_INVALID) for an `inpaint` without a model or without boxes that can be read."""
    for index, step in enumerate(steps):
        if step.HasField("inpaint"):
            path = f"steps[{index}].inpaint"
            if not step.inpaint.model:
                raise StepError(NEEDED["model"], violations=[Violation(f"{path}.model", NEEDED["model"])])
            read_boxes(step.inpaint.boxes, path=f"{path}.boxes")


def what_was_filled(steps: Sequence[Step]) -> tuple[str, ...]:
    """One sentence for each `inpaint` of a job, for its report: whoever gets the film shall be able to know."""
    fillings = [step.inpaint for step in steps if step.HasField("inpaint")]
    return tuple(f"every frame was filled at {each.boxes} by model {each.model} (inpaint)" for each in fillings)


def _box(width: int, height: int, left: int, top: int) -> Box:
    return Box(left=left, top=top, right=left + width, bottom=top + height)
