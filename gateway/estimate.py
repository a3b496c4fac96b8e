"""Where queued jobs stand and about when they start."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

from google.protobuf.duration_pb2 import Duration

from framewire.db.waiting import LaneView, QueueView
from framewire.jobs.waiting import seconds_until_start
from framewire.v1.job_pb2 import JOB_STATE_QUEUED, Job
from framewire.v1.step_pb2 import Lane
from gateway.fleet import Fleet

LARGE = 2000
"""Jobs that wait in a lane above which it is ranked as a whole, at most every `KEPT` seconds."""
KEPT = 1.0


class Estimator:
    """Fills `queue_position` and `queue_eta`: one look at a lane for a whole page, none when no job waits.

    Ranking a lane costs as much as it is long. So a long one is not ranked for every page anew, and a job that came
    since is said to be the last.
    """

    def __init__(self, queue: QueueView, fleet: Fleet) -> None:
        self._queue = queue
        self._fleet = fleet
        self._turn = asyncio.Lock()  # many callers, one look
        self._kept: dict[Lane.ValueType, tuple[float, LaneView]] = {}

    async def fill(self, jobs: Sequence[Job]) -> None:
        """Write into the jobs that are QUEUED where they stand."""
        waiting = [job for job in jobs if job.state == JOB_STATE_QUEUED]
        if waiting:
            await self._fleet.refresh()
        for lane in {job.lane for job in waiting}:
            await self._fill_lane(lane, [job for job in waiting if job.lane == lane])

    async def _fill_lane(self, lane: Lane.ValueType, jobs: Sequence[Job]) -> None:
        view = await self._look(lane, [job.job_id for job in jobs])
        slots = 0 if self._fleet.is_paused(lane) else self._fleet.slots(lane)
        for job in jobs:
            position = view.positions.get(job.job_id, view.waiting if view.waiting > LARGE else 0)
            if position:
                self._write(
                    job,
                    position,
                    seconds_until_start(position, running=view.running, slots=slots, average=view.average),
                )

    async def _look(self, lane: Lane.ValueType, job_ids: Sequence[str]) -> LaneView:
        name = Lane.Name(lane).removeprefix("LANE_").lower()
        async with self._turn:
            until, kept = self._kept.get(lane, (0.0, LaneView()))
            if time.monotonic() < until:
                return kept
            view = await self._queue.lane(name, None if kept.waiting > LARGE else job_ids)
            if view.waiting > LARGE and kept.waiting <= LARGE:  # it has just become long
                view = await self._queue.lane(name, None)
            keep = KEPT if view.waiting > LARGE else 0.0
            self._kept[lane] = (time.monotonic() + keep, view)
            return view

    @staticmethod
    def _write(job: Job, position: int, eta: float | None) -> None:
        job.queue_position = position
        if eta is not None:
            job.queue_eta.CopyFrom(duration(eta))


def duration(seconds: float) -> Duration:
    """To the millisecond."""
    result = Duration()
    result.FromMilliseconds(max(0, round(seconds * 1000)))
    return result
