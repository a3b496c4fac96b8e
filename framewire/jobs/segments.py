"""Which segments of a job's result count: a fold of its events."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias

from framewire.v1.job_pb2 import Event, Segment


@dataclass(frozen=True, slots=True, kw_only=True)
class CommittedSegment:
    """A segment that counts, and the attempt whose key its bytes lie under."""

    attempt: int
    segment: Segment

    @property
    def end(self) -> float:
        """Seconds from the start of the result to the end of this segment."""
        return self.segment.start + self.segment.duration


Committed: TypeAlias = tuple[CommittedSegment, ...]
"""The segments that count, in order from the first: the one with index i is at place i."""


def fold(events: Iterable[Event]) -> Committed:
    """The segments that count after these events of one job."""
    committed: Committed = ()
    for event in events:
        committed = followed_by(committed, event)
    return committed


def followed_by(committed: Committed, event: Event) -> Committed:
    """What counts after one more event: a segment takes the place of that with its index and of all behind it.

    One that would leave a hole changes nothing: what was before it is no longer in the log, and it is of no use.
    """
    if event.WhichOneof("kind") != "segment" or not 0 <= event.segment.index <= len(committed):
        return committed
    return (*committed[: event.segment.index], CommittedSegment(attempt=event.attempt, segment=event.segment))
