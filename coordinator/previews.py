"""Before and after, while the work is under way: a small JPEG of each about every two seconds."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

from av.video.frame import VideoFrame

from coordinator.flow import Channel
from coordinator.media.encode import unit_shift
from coordinator.media.jpeg import Photographer
from coordinator.media.probe import VideoFacts
from coordinator.media.timeline import Stamp
from framewire.v1.job_pb2 import Preview

log = logging.getLogger(__name__)

INTERVAL_SECONDS = 2.0
WIDTH = 320
MOST_BYTES = 16_000


@dataclass(frozen=True, slots=True)
class Pair:
    """One frame as it was decoded and as it will be encoded."""

    stamp: Stamp
    before: VideoFrame
    after: VideoFrame


class Previews:
    """Takes a frame now and then and shows it, in a stage of its own; what comes too fast is left out."""

    def __init__(
        self,
        facts: VideoFacts,
        pairs: Channel[Pair],
        show: Callable[[Preview], None],
        *,
        interval: float = INTERVAL_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._facts = facts
        self._pairs = pairs
        self._show = show
        self._interval = interval
        self._clock = clock
        self._due = clock()

    def wanted(self) -> bool:
        """Whether a frame should be taken now; then the next one is due an interval later. For one thread."""
        now = self._clock()
        if now < self._due:
            return False
        self._due = now + self._interval
        return True

    def offer(self, pair: Pair) -> None:
        """A frame for people to see, unless the one before is still being drawn. Never waits."""
        self._pairs.offer(pair)

    def close(self) -> None:
        """Nothing more will be offered: `run` ends with what waits. Idempotent."""
        self._pairs.close()

    def run(self) -> None:
        """Show what is offered until the channel is closed. A preview that fails is none."""
        photographer = Photographer(self._facts, width=WIDTH, most_bytes=MOST_BYTES)
        for pair in self._pairs:
            try:
                preview = self._drawn(photographer, pair)
            except Exception:
                log.exception("a preview could not be drawn")
                continue
            self._show(preview)

    def _drawn(self, photographer: Photographer, pair: Pair) -> Preview:
        position = float((pair.stamp.pts + unit_shift(self._facts)) * self._facts.time_base)
        return Preview(position=position, before=photographer.jpeg(pair.before), after=photographer.jpeg(pair.after))
