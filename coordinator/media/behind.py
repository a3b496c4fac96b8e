"""Going on in the middle of a film: a reader whose next picture is the one behind a place that was reached before."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction

import av

from coordinator.media.decode import CopiedPacket, Picture, Reader
from coordinator.media.probe import VideoFacts
from coordinator.media.same import checksum
from coordinator.media.timeline import Stamp
from framewire.errors import MediaError

log = logging.getLogger(__name__)

Items = Iterator[Picture | CopiedPacket]
_MARGIN_SECONDS = Fraction(3)
"""So far before the place a keyframe is looked for: what a decoder makes of the first pictures is not relied on."""
_NEAR_SECONDS = Fraction(10)
"""Not worth seeking: decoding from the start is as quick."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Behind a frame of the film, with what had been counted up to there."""

    frames_in: int
    """Frames decoded up to there; at least 1."""
    last: Stamp
    """Of the frame before it."""
    checksum: int
    """Of that frame's samples."""
    damaged: int
    hidden: int
    repaired: int
    deinterlaced: int


def open_behind(
    open_reader: Callable[[], Reader], facts: VideoFacts, place: Place, check: Callable[[], None]
) -> tuple[Reader, Items] | None:
    """A reader and its pictures behind `place`, the same that a run from the start would see there.

    By seeking where that finds the frame before it, sample for sample, else by decoding from the start. `check` is
    called for every picture that is skipped and may raise. None when the film has no such place.
    """
    for find in (_sought, _counted) if _is_worth_seeking(facts, place) else (_counted,):
        reader = open_reader()
        try:
            items = find(reader, facts, place, check)
        except BaseException:
            reader.close()
            raise
        if items is not None:
            return reader, items
        reader.close()
    return None


def _is_worth_seeking(facts: VideoFacts, place: Place) -> bool:
    # what damage did to the pictures after it, what a deinterlacer remembers, and which picture got a time stamp that
    # is another's in the file, only the whole way tells
    if place.damaged or place.deinterlaced or place.repaired:
        return False
    return (place.last.pts - facts.first_pts) * facts.time_base >= _NEAR_SECONDS


def _sought(reader: Reader, facts: VideoFacts, place: Place, check: Callable[[], None]) -> Items | None:
    try:
        reader.seek(place.last.pts - int(_MARGIN_SECONDS / facts.time_base))
        items = iter(reader)
        for item in items:
            check()
            if not isinstance(item, Picture):
                continue
            if item.frame.pts is None:
                return None  # as in AVI: nothing would say when the place is reached
            if item.frame.pts >= place.last.pts:
                found = item.frame.pts == place.last.pts and checksum(item.frame) == place.checksum
                return _taken_up(reader, place, items) if found else None
    except (MediaError, av.FFmpegError) as error:
        log.info("seeking failed, the film is decoded from its start: %s", error)
    return None


def _counted(reader: Reader, _: VideoFacts, place: Place, check: Callable[[], None]) -> Items | None:
    items, frames = iter(reader), 0
    for item in items:
        check()
        frames += isinstance(item, Picture)
        if isinstance(item, Picture) and frames == place.frames_in:
            found = item.stamp.pts == place.last.pts and checksum(item.frame) == place.checksum
            return items if found else None
    return None


def _taken_up(reader: Reader, place: Place, items: Items) -> Items:
    reader.damaged, reader.hidden = place.damaged, place.hidden
    reader.timeline.take_up(place.last, repaired=place.repaired)
    return items
