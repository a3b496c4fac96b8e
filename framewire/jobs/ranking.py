"""Which waiting job goes first: the higher priority, unless the lower has waited long enough.

Every `ageing` seconds of waiting count as much as one step of priority. A job of priority 3 so
goes before one of priority 0 that came 3 steps of ageing later, and nothing waits for ever.
"""

from __future__ import annotations

from typing import Final

AGEING_SECONDS: Final = 60.0
"""Seconds of waiting that make up for one step of priority."""


def urgency(priority: int, waited: float, *, ageing: float = AGEING_SECONDS) -> float:
    """What waiting jobs are ordered by, the smallest first. `priority` 0 is the highest, `waited` in seconds.

    The order of two jobs never changes while both wait: both age at the same pace.
    """
    return priority - waited / ageing
