"""Where queued jobs stand, without asking the database more than it can bear."""

from __future__ import annotations

import asyncio

from framewire.db.waiting import LaneView
from framewire.testing.bus import MemoryControls, MemoryWorkers
from framewire.v1.job_pb2 import JOB_STATE_QUEUED, JOB_STATE_RUNNING, Job
from framewire.v1.step_pb2 import LANE_CPU, LANE_GPU
from framewire.work.v1.work_pb2 import WorkerStatus
from gateway.estimate import LARGE, Estimator
from gateway.fleet import Fleet


class CountedQueue:
    """A lane of so many jobs, `job_1` first."""

    def __init__(self, waiting: int) -> None:
        self.waiting = waiting
        self.looks: list[tuple[str, int | None]] = []

    async def lane(self, lane, job_ids=()):
        self.looks.append((lane, None if job_ids is None else len(job_ids)))
        ids = [f"job_{place}" for place in range(1, self.waiting + 1)] if job_ids is None else job_ids
        positions = {job_id: int(job_id.removeprefix("job_")) for job_id in ids}
        return LaneView(waiting=self.waiting, running=2, average=30.0, positions=positions)


async def an_estimator(queue: CountedQueue) -> Estimator:
    workers = MemoryWorkers()
    await workers.announce(WorkerStatus(worker="w", lanes=[LANE_GPU, LANE_CPU], slots=2))
    return Estimator(queue, Fleet(workers, MemoryControls()))


def a_job(number: int, lane: int = LANE_GPU, state: int = JOB_STATE_QUEUED) -> Job:
    return Job(job_id=f"job_{number}", lane=lane, state=state)


async def test_a_page_costs_one_look_a_lane_and_none_when_no_job_waits():
    queue = CountedQueue(9)
    estimator = await an_estimator(queue)
    await estimator.fill([a_job(1, state=JOB_STATE_RUNNING)])
    assert queue.looks == []
    page = [a_job(1), a_job(4), a_job(2, LANE_CPU), a_job(7, state=JOB_STATE_RUNNING)]
    await estimator.fill(page)
    assert sorted(queue.looks) == [("cpu", 1), ("gpu", 2)]
    assert [job.queue_position for job in page] == [1, 4, 2, 0]
    assert [job.queue_eta.seconds for job in page[:2]] == [15, 60]


async def test_a_long_lane_is_ranked_once_for_many_pages():
    queue = CountedQueue(LARGE + 1)
    estimator = await an_estimator(queue)
    pages = [[a_job(number)] for number in range(1, 50)]
    await asyncio.gather(*(estimator.fill(page) for page in pages))
    assert queue.looks == [("gpu", 1), ("gpu", None)]
    assert [page[0].queue_position for page in pages] == list(range(1, 50))


async def test_a_job_that_came_after_the_ranking_is_said_to_be_the_last():
    queue = CountedQueue(LARGE + 1)
    estimator = await an_estimator(queue)
    await estimator.fill([a_job(1)])
    newer = a_job(LARGE + 77)
    await estimator.fill([newer])
    assert newer.queue_position == LARGE + 1
