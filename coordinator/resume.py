"""What an attempt takes over from those before it: units that are closed, if they are of the very same work.

A unit's record carries a fingerprint of everything that decides what frames look like. Units are taken from the first
on while theirs is this job's; the work goes on behind the last of them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import av
from google.protobuf.message import DecodeError, Message

from coordinator.media.behind import Place
from coordinator.media.probe import VideoFacts
from coordinator.media.timeline import Stamp
from framewire.v1.job_pb2 import OutputSettings
from framewire.v1.step_pb2 import Step
from framewire.work.v1.work_pb2 import SegmentRecord, StoredSegment

ENGINE = 4
"""Raised whenever the same work would give other frames than before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EarlierWork:
    """Units of earlier attempts this one goes on behind. Without any: from the start."""

    units: tuple[StoredSegment, ...] = ()
    last: SegmentRecord = field(default_factory=SegmentRecord)
    """The record of the last unit; an empty one when there is none."""

    @property
    def bytes(self) -> int:
        """Of all units."""
        return sum(stored.segment.size_bytes for stored in self.units)

    @property
    def place(self) -> Place | None:
        """Where in the input it ends; None at the start."""
        if not self.units:
            return None
        record = self.last
        counters = record.counters
        return Place(
            frames_in=record.frames_in,
            last=Stamp(pts=record.last_pts, duration=counters["last_duration"]),
            checksum=counters["checksum"],
            damaged=counters["damaged"],
            hidden=counters["hidden"],
            repaired=counters["repaired"],
            deinterlaced=counters["deinterlaced"],
        )


def shown_last(record: SegmentRecord) -> Stamp:
    """When the last frame of a unit is shown in the result."""
    counters = record.counters
    if "shown_pts" in counters:
        return Stamp(pts=counters["shown_pts"], duration=counters["shown_duration"])
    return Stamp(pts=record.last_pts, duration=counters["last_duration"])


def fingerprint(
    steps: Sequence[Step], output: OutputSettings, models: Sequence[object], facts: VideoFacts, source: Path
) -> str:
    """SHA-256 of everything that decides what the frames of this job look like.

    `models`: contracts of the models, in the order of the steps, and whatever else decides it, as an edit list does;
    their repr counts.
    """
    digest = hashlib.sha256()
    for part in (
        f"engine {ENGINE}",
        repr(sorted(av.library_versions.items())),
        *(_bytes(step).hex() for step in steps),
        _bytes(output).hex(),
        *(repr(model) for model in models),
        repr(facts),
        f"{source.stat().st_size} bytes",
    ):
        digest.update(part.encode())
        digest.update(b"\0")
    return digest.hexdigest()


def earlier_work(stored: Sequence[StoredSegment], wanted: str) -> tuple[EarlierWork, str]:
    """What of `stored` can be used for work with the fingerprint `wanted`, and in words why the rest cannot.

    It ends with a unit that has a record. Those before it need none: whoever made that one went on behind them.
    """
    work, why = EarlierWork(), ""
    for number, segment in enumerate(stored):
        if why := _broken(segment, number):
            break
        if not segment.record_path:
            continue
        record = _record(segment)
        if record is None or record.fingerprint != wanted:
            why = f"segment {number} is of other work" if record else f"the record of segment {number} cannot be read"
            break
        work = EarlierWork(units=tuple(stored[: number + 1]), last=record)
    left = len(stored) - len(work.units)
    return work, f"{left} of {len(stored)} kept segments are of no use: {why or 'they have no record'}" if left else ""


def _broken(stored: StoredSegment, number: int) -> str:
    if stored.segment.index != number:
        return f"segment {number} is missing"
    try:
        whole = Path(stored.path).stat().st_size == stored.segment.size_bytes
    except OSError:
        whole = False
    return "" if whole else f"segment {number} is not whole"


def _record(stored: StoredSegment) -> SegmentRecord | None:
    try:
        return SegmentRecord.FromString(Path(stored.record_path).read_bytes())
    except (OSError, DecodeError):
        return None


def _bytes(message: Message) -> bytes:
    return message.SerializeToString(deterministic=True)
