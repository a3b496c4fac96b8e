"""The list of what is kept as it travels: to the contract's CutList and back."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

from google.protobuf.duration_pb2 import Duration

from framewire.edits.edit_list import WHOLE, EditList, Span
from framewire.errors import StepError, Violation
from framewire.v1.step_pb2 import CutList, CutSpan

MOST_SPANS = 20_000
"""Of a CutList, as the contract has it."""
_NANO = 1_000_000_000


def cut_list_to_proto(edits: EditList) -> CutList:
    """To the nanosecond; boundaries come back to where they were through `snap`.

    Raises StepError (STEP_INVALID) for more spans than the contract allows.
    """
    if len(edits.spans) > MOST_SPANS:
        raise StepError(
            f"{len(edits.spans)} parts would be kept, and a list may hold {MOST_SPANS}; raise mincut, minclip or margin"
        )
    return CutList(
        spans=(
            CutSpan(
                start=_duration(span.start),
                end=_duration(span.end),
                speed=None if span.speed == WHOLE else float(span.speed),
                volume=None if span.volume == WHOLE else float(span.volume),
            )
            for span in edits.spans
        )
    )


def cut_list_from_proto(cuts: CutList, *, path: str = "cuts") -> EditList:
    """The list, not yet at boundaries of pictures.

    Raises StepError (STEP_INVALID) with a violation that names the first span which is empty, overlaps the one before
    or is out of order; `path` is the list's place in the request.
    """
    return EditList(_spans(cuts, path))


def _spans(cuts: CutList, path: str) -> Iterator[Span]:
    reached = Fraction(0)
    for index, span in enumerate(cuts.spans):
        start, end = seconds(span.start), seconds(span.end)
        if start < reached:
            raise _invalid(f"{path}.spans[{index}].start", "it is before the end of the span before")
        if end <= start:
            raise _invalid(f"{path}.spans[{index}].end", "it is not behind the start")
        yield Span(start=start, end=end, speed=_factor(span, "speed"), volume=_factor(span, "volume"))
        reached = end


def seconds(duration: Duration) -> Fraction:
    """Exactly."""
    return duration.seconds + Fraction(duration.nanos, _NANO)


def _duration(moment: Fraction) -> Duration:
    whole, nanos = divmod(round(moment * _NANO), _NANO)
    return Duration(seconds=whole, nanos=nanos)


def _factor(span: CutSpan, name: str) -> Fraction:
    """As it is written in decimals: 0.1 is a tenth."""
    return Fraction(repr(getattr(span, name))) if span.HasField(name) else WHOLE  # type: ignore[arg-type]  # stubs list the fields' names


def _invalid(field: str, what: str) -> StepError:
    return StepError(f"{field}: {what}", violations=[Violation(field, what)])
