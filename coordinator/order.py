"""What a run is asked for, what it tells while it runs, and what it answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from fractions import Fraction
from pathlib import Path

from coordinator.account import PartTime
from coordinator.bounds import OutputBounds
from coordinator.flow import StageUsage
from coordinator.media.codecs import EncoderSettings
from coordinator.media.passengers import LeftOut
from coordinator.media.sound.edited import FADE
from coordinator.media.sound.render import RenderedSound
from coordinator.resume import EarlierWork
from framewire.edits.edit_list import EditList
from framewire.v1.job_pb2 import Preview
from framewire.work.v1.work_pb2 import StoredSegment


@dataclass(frozen=True, slots=True, kw_only=True)
class Reports:
    """Whom a run tells what, while it runs. Each is called from one thread of the run's."""

    frames: Callable[[int], None] = lambda _: None
    """Frames written so far, those of earlier attempts included; often."""
    unit: Callable[[StoredSegment], None] = lambda _: None
    """A unit is closed."""
    moment: Callable[[str], None] = lambda _: None
    """Something on the way to the first frame is done."""
    preview: Callable[[Preview], None] | None = None
    """A frame before and after; None: nobody wants to see any."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What is to be done with which files."""

    source: Path
    target: Path
    segments: Path
    """Folder for closed units; made if need be."""
    settings: EncoderSettings
    container: str = ""
    """`mp4`, `mov`, `mkv` or `webm`; neutral value: "", the one that holds the most of `mp4` and `mkv`."""
    bounds: OutputBounds = field(default_factory=OutputBounds)
    fingerprint: str = ""
    """Of the work; goes into the units' records."""
    earlier: EarlierWork = field(default_factory=EarlierWork)
    edits: EditList | None = None
    """What is kept of the film; None: all of it, with its time stamps and its packets of sound."""
    fade: Fraction = FADE
    """Seconds that sound fades on either side of a join."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What a run did."""

    frames_in: int
    frames_out: int
    held: int
    """Frames that repeat the one before and were not sent to any model."""
    inferred: int
    """Frames that were; with those of earlier attempts."""
    resumed: int
    """Frames of earlier attempts."""
    first_frame: datetime | None
    """When the first frame had been decoded; None when there was none left to do."""
    container: str
    """Format that was written: `mp4`, `mov`, `matroska` or `webm`."""
    left_out: tuple[LeftOut, ...]
    """What of the input is not in the result."""
    counters: Mapping[str, int]
    """Of the last unit's record."""
    units: Sequence[StoredSegment]
    remarks: tuple[str, ...]
    """What people should know about the result, a line each."""
    usage: tuple[StageUsage, ...]
    parts: tuple[PartTime, ...]
    """Where the time went."""
    edits: EditList | None = None
    """What was kept of the film; None: all of it."""
    sounds: tuple[RenderedSound, ...] = ()
    """Tracks that were encoded again."""
