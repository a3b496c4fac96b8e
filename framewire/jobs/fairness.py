"""How many orders of one workspace may stand in the queue at once, so that its hundred do not hold up another's first.

The queue itself knows lanes and priorities, not workspaces: within a priority it is first come, first served. So a
workspace has at most a *window* of unfinished orders of one lane and one priority in the queue; its other jobs wait in
the database and follow, oldest first, as earlier ones end. Whoever comes next waits behind a window of the others at
most. Each priority has a window of its own: a workspace's urgent job never waits for its own patient ones, and a
patient one stands in the queue from the start and ages there.
"""

from __future__ import annotations

LEAST_WINDOW = 4
"""The window while no worker of the lane is known."""


def window(slots: int) -> int:
    """Unfinished orders of one workspace, lane and priority that may stand in the queue.

    One more than the lane's live workers can run at once: no slot waits for the gateway between two jobs.
    """
    return slots + 1 if slots > 0 else LEAST_WINDOW


def room(held: int, window: int) -> int:
    """How many more may be released while `held` of them stand in the queue. Never negative: a window may shrink."""
    return max(0, window - held)
