"""Closing units: flushing their encoder, writing the record beside them, telling the worker.

In a stage of its own, so that the next unit is being encoded meanwhile.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from coordinator.batch import UnitEnd
from coordinator.media.encode import UnitEncoder, header_bytes, unit_shift
from coordinator.media.errors import writing
from coordinator.media.probe import VideoFacts
from framewire.v1.job_pb2 import Segment
from framewire.work.v1.work_pb2 import SegmentRecord, StoredSegment


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """A unit that has got its last frame."""

    encoder: UnitEncoder
    index: int
    start_pts: int
    end: UnitEnd
    states: Sequence[bytes]


class Closer:
    """Closes one run's units, in order. For one thread."""

    def __init__(
        self,
        folder: Path,
        facts: VideoFacts,
        fingerprint: str,
        *,
        earlier: SegmentRecord,
        on_unit: Callable[[StoredSegment, SegmentRecord], None],
    ) -> None:
        """`earlier`: the record of the unit before the first that comes here; an empty one when there is none."""
        self._folder = folder
        self._facts = facts
        self._fingerprint = fingerprint
        self._frames_out = earlier.frames_out
        self._reordering = earlier.counters["reordering"]
        self._on_unit = on_unit

    def close(self, unit: Finished) -> None:
        """Complete the unit's file and its record; both have their names only when they are whole."""
        first, self._frames_out = self._frames_out, self._frames_out + unit.encoder.frames
        unit.encoder.close()
        self._reordering = max(self._reordering, unit.encoder.reordering)
        record = self._record(unit)
        with writing():
            path, record_path = self._name(unit.index, "mp4"), self._name(unit.index, "record")
            record_path.write_bytes(record.SerializeToString(deterministic=True))
            unit.encoder.path.replace(path)
            segment = self._segment(unit, first, path, record_path)
        self._on_unit(StoredSegment(segment=segment, path=str(path), record_path=str(record_path)), record)

    def _name(self, index: int, suffix: str) -> Path:
        return self._folder / f"segment-{index:06d}.{suffix}"

    def _record(self, unit: Finished) -> SegmentRecord:
        return SegmentRecord(
            fingerprint=self._fingerprint,
            last_pts=unit.end.last_pts,
            frames_in=unit.end.frames_in,
            frames_out=self._frames_out,
            step_states=unit.states,
            counters={**unit.end.counters, "reordering": self._reordering},
        )

    def _segment(self, unit: Finished, first: int, path: Path, record_path: Path) -> Segment:
        base, shift = self._facts.time_base, unit_shift(self._facts)
        return Segment(
            index=unit.index,
            first_frame=first,
            frames=unit.encoder.frames,
            start=float((unit.start_pts + shift) * base),
            duration=float((unit.end.end_pts - unit.start_pts) * base),
            size_bytes=path.stat().st_size,
            header_bytes=header_bytes(path),
            sha256=_sha256(path),
            record_sha256=_sha256(record_path),
        )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
