"""How long a queued job still waits."""

from __future__ import annotations


def seconds_until_start(position: int, *, running: int, slots: int, average: float | None) -> float | None:
    """About how long until the job at `position` (1 is next) starts; None when that cannot be told.

    `average` is how long the lane's jobs took lately, in seconds. Free slots take the first jobs at once; after that
    one slot becomes free every `average / slots` seconds.
    """
    if slots <= 0:
        return None
    before = position - max(0, slots - running)
    if before <= 0:
        return 0.0
    return None if average is None else before * average / slots
