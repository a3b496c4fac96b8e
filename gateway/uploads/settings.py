"""What uploads may be, and how long what is kept is kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from framewire.storage.parts import LEAST_PART
from gateway.uploads.kinds import KINDS


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadSettings:
    """Frozen; the gateway's main reads it from the environment."""

    largest: int = 500 << 20
    """Bytes of an upload."""
    kinds: frozenset[str] = KINDS
    """What is taken, by content; empty takes anything."""
    per_hour: int = 1_000
    """Uploads a workspace may begin in an hour, at each gateway; 0 is no limit."""
    part_size: int = 8 << 20
    """Bytes of a part. What a gateway holds in memory for each upload that comes through it."""
    multipart_from: int = 64 << 20
    """Uploads larger than this are told to come in parts."""
    time: timedelta = timedelta(days=1)
    """In which an upload has to be finished."""
    keep: timedelta | None = timedelta(days=7)
    """How long assets, and segments of jobs that failed, are kept; None is for ever."""
    probe: Sequence[str] = ()
    """The command line of the program that looks into files; without one, nobody does before a job needs them."""
    probe_environment: Mapping[str, str] = field(default_factory=dict)
    probe_timeout: float = 30.0
    """Seconds it may take."""
    scratch: Path | None = None
    """Where an upload lies while it is looked at; the system's folder for temporary files when None."""
    checks_at_once: int = 4
    """Uploads that are hashed at the same time; that many of the largest size have to fit in `scratch`."""
    lease: float = 10.0
    """Seconds without a sign of life after which another gateway may go on with an upload."""
    stall: float = 30.0
    """Seconds without a byte after which a sender is given up."""
    slowest: float = 1024.0
    """Bytes a second a sender has to send; slower ones are given up after `stall` seconds."""
    janitor_every: float = 60.0
    """Seconds between two looks for what has expired."""

    def __post_init__(self) -> None:
        """Raise ValueError for parts the store would not take."""
        if self.part_size < LEAST_PART:
            raise ValueError(f"a part has at least {LEAST_PART} bytes")
