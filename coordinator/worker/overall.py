"""One overall fraction out of the stages of an attempt, at most so often."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final, Literal, TypeAlias

from framewire.v1.job_pb2 import Progress

Stage: TypeAlias = Literal["fetch", "process", "store"]

_SHARES: Final[dict[Stage, tuple[float, float]]] = {
    "fetch": (0.0, 0.05),
    "process": (0.05, 0.95),
    "store": (0.95, 1.0),
}
"""Where each stage begins and ends in the whole."""


class OverallProgress:
    """Decides which progress is worth an event: the first of a stage, the last, and between them one per `interval`.

    The overall fraction never goes back, whatever the runner says.
    """

    def __init__(self, *, interval: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._interval = interval
        self._clock = clock
        self._stage: Stage | None = None
        self._fraction = 0.0
        self._shown_at = 0.0
        self._held_back: Progress | None = None

    def offer(self, stage: Stage, progress: Progress) -> Progress | None:
        """`progress.fraction` is of the stage, 0 to 1. Returns the progress to show now, with the overall fraction."""
        overall = self._overall(stage, progress)
        if stage == self._stage and self._clock() - self._shown_at < self._interval:
            self._held_back = overall
            return None
        self._stage, self._shown_at, self._held_back = stage, self._clock(), None
        return overall

    def last(self) -> Progress | None:
        """What was offered last, unless it was shown."""
        held_back, self._held_back = self._held_back, None
        return held_back

    def _overall(self, stage: Stage, progress: Progress) -> Progress:
        begin, end = _SHARES[stage]
        within = min(max(progress.fraction, 0.0), 1.0) if progress.fraction == progress.fraction else 0.0
        self._fraction = max(self._fraction, begin + (end - begin) * within)
        overall = Progress()
        overall.CopyFrom(progress)
        overall.stage, overall.fraction = stage, self._fraction
        return overall
