"""Orders that wait outside the queue, released as windows grow; and how many are left, for those who count backlog.

An ending releases what it makes room for by itself. This is for the rest: a worker that joined, another gateway that
saw fewer of them, a database that came back from a backup.
"""

from __future__ import annotations

from framewire.bus.interface import JobQueue
from framewire.db.jobs import JobStore
from framewire.v1.step_pb2 import LANE_CPU, LANE_GPU
from gateway.fleet import Fleet, lane_value

EVERY = 2.0
"""Seconds between two looks."""


class Releaser:
    """One round looks at every workspace that has jobs outside the queue."""

    def __init__(self, jobs: JobStore, queue: JobQueue, fleet: Fleet) -> None:
        self._jobs = jobs
        self._queue = queue
        self._fleet = fleet
        self._told: dict[int, int] = {}

    async def round(self) -> None:
        """Release, and tell the queue what is left."""
        await self._fleet.refresh()
        left = {lane_value(lane): count for lane, count in (await self._jobs.release_waiting()).items()}
        for lane in (LANE_GPU, LANE_CPU):
            count = left.get(lane, 0)
            if count or self._told.get(lane) != count:  # what waits is said again and again: a board may forget
                await self._queue.announce_held_back(lane, count)
                self._told[lane] = count
