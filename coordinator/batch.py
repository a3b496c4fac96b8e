"""What travels from stage to stage: frames in lent memory, when they are shown, and packets beside them."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field, replace

from av.video.frame import VideoFrame

from coordinator.flow import Channel
from coordinator.inference.interface import Block
from coordinator.media.checks import Points
from coordinator.media.decode import CopiedPacket, Picture
from coordinator.media.depth import Detail
from coordinator.media.timeline import Stamp


@dataclass(frozen=True, slots=True)
class Lease:
    """A block and the channel of free blocks it goes back to."""

    block: Block
    home: Channel[Block]

    def give_back(self) -> None:
        """The block may be filled again. Raises Aborted."""
        self.home.put(self.block)


@dataclass(slots=True)
class Shot:
    """One frame that goes through the models, and every time it is shown: held frames repeat it."""

    stamps: list[Stamp]
    points: Points | None = None
    """Of the input's picture, to compare with those of the result."""
    detail: Detail | None = None
    """What 8 bits could not hold of it."""
    picture: Picture | None = None
    """As it was decoded, where there is no model: then it is in no block."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitEnd:
    """What is known of the film behind a unit's last frame: all that is needed to go on there."""

    last_pts: int
    """In the film."""
    shown: Stamp
    """When that frame is shown in the result."""
    end_pts: int
    """When the frame after it is, there."""
    frames_in: int
    """Decoded so far, from the film's first frame on."""
    counters: Mapping[str, int]

    def with_counters(self, more: Mapping[str, int]) -> UnitEnd:
        """The same with more counters."""
        return replace(self, counters={**self.counters, **more})


@dataclass(slots=True)
class Batch:
    """Consecutive frames of one unit on their way, and the packets that lie beside them in the file."""

    unit: int
    frames: Lease | None = None
    """Where the frames lie, one for each shot; None when there are none."""
    shots: list[Shot] = field(default_factory=list)
    packets: list[CopiedPacket] = field(default_factory=list)
    end: UnitEnd | None = None
    """Set on the unit's last batch."""
    sample: VideoFrame | None = None
    """The first frame as it was decoded, when people are to be shown it."""
    request: Future[bytes] | None = None
    """What fills `frames`; None when they are there already."""
    read: Lease | None = None
    """What the request reads; free again when it is done."""
    states: list[bytes] = field(default_factory=list)
    """What each step so far remembers behind this batch; kept on a unit's last."""


@dataclass(slots=True)
class Drawn:
    """A batch that has been through all steps, as the encoder takes it."""

    unit: int
    shots: list[tuple[VideoFrame, list[Stamp]]]
    packets: list[CopiedPacket]
    end: UnitEnd | None
    states: list[bytes]
