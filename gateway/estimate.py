"""Where queued jobs stand and about when they start."""

from __future__ import annotations

from collections.abc import Sequence

from google.protobuf.duration_pb2 import Duration

from framewire.db.waiting import QueueView
from framewire.jobs.waiting import seconds_until_start
from framewire.v1.job_pb2 import JOB_STATE_QUEUED, Job
from framewire.v1.step_pb2 import Lane
from gateway.fleet import Fleet


class Estimator:
    """Fills `queue_position` and `queue_eta`: one look at a lane for a whole page, none when no job waits."""

    def __init__(self, queue: QueueView, fleet: Fleet) -> None:
        self._queue = queue
        self._fleet = fleet

    async def fill(self, jobs: Sequence[Job]) -> None:
        """Write into the jobs that are QUEUED where they stand."""
        waiting = [job for job in jobs if job.state == JOB_STATE_QUEUED]
        if waiting:
            await self._fleet.refresh()
        for lane in {job.lane for job in waiting}:
            await self._fill_lane(lane, {job.job_id: job for job in waiting if job.lane == lane})

    async def _fill_lane(self, lane: Lane.ValueType, jobs: dict[str, Job]) -> None:
        view = await self._queue.lane(Lane.Name(lane).removeprefix("LANE_").lower(), list(jobs))
        slots = 0 if self._fleet.is_paused(lane) else self._fleet.slots(lane)
        for job_id, position in view.positions.items():
            jobs[job_id].queue_position = position
            eta = seconds_until_start(position, running=view.running, slots=slots, average=view.average)
            if eta is not None:
                jobs[job_id].queue_eta.CopyFrom(duration(eta))


def duration(seconds: float) -> Duration:
    """To the millisecond."""
    result = Duration()
    result.FromMilliseconds(max(0, round(seconds * 1000)))
    return result
