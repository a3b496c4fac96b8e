"""Which job goes first, simulated: ageing against starvation, windows against a workspace that fills the queue.

The decisions are the real ones (framewire/jobs/ranking.py, framewire/jobs/fairness.py); arrivals are seeded.
"""

from __future__ import annotations

import heapq
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass

from framewire.jobs.fairness import room, window
from framewire.jobs.ranking import AGEING_SECONDS, urgency

SLOTS = 3
LENGTH = 10.0
"""Seconds a job runs."""


@dataclass(order=True)
class Arrival:
    """A job that somebody creates."""

    time: float
    priority: int = 1
    workspace: str = "a"
    queued: float = 0.0
    """When its order entered the queue: from then on it ages."""
    started: float = -1.0

    @property
    def waited(self) -> float:
        return self.started - self.time


def serve(arrivals: Sequence[Arrival], *, ageing: float, until: float, fair: bool = False) -> None:
    """Run the jobs on SLOTS slots until nobody is left or time is up; a job that never started keeps -1."""
    coming = sorted(arrivals)
    free = [0.0] * SLOTS
    queue: list[Arrival] = []
    outside: list[Arrival] = []
    running: list[tuple[float, str]] = []
    while coming or queue or outside:
        now = heapq.heappop(free)
        if not queue and not outside and coming:
            now = max(now, coming[0].time)
        if now > until:
            return
        while coming and coming[0].time <= now:
            outside.append(coming.pop(0))
        running = [(end, workspace) for end, workspace in running if end > now]
        _release(queue, outside, running, now, fair=fair)
        job = min(queue, key=lambda job: (urgency(job.priority, now - job.queued, ageing=ageing), job.queued))
        queue.remove(job)
        job.started = now
        running.append((now + LENGTH, job.workspace))
        heapq.heappush(free, now + LENGTH)


def _release(
    queue: list[Arrival], outside: list[Arrival], running: Sequence[tuple[float, str]], now: float, *, fair: bool
) -> None:
    """Move what may stand in the queue there: everything, or a window of each workspace and priority."""
    for job in list(outside):
        held = sum(each.workspace == job.workspace and each.priority == job.priority for each in queue)
        held += sum(workspace == job.workspace for _, workspace in running)
        if not fair or room(held, window(SLOTS)):
            outside.remove(job)
            job.queued = now if fair else job.time
            queue.append(job)


@dataclass(frozen=True)
class Waits:
    """Longest wait of each priority in seconds, infinite where somebody never started."""

    load: float
    longest: tuple[float, ...]

    def __str__(self) -> str:
        waits = "  ".join(f"p{priority} {wait:7.0f} s" for priority, wait in enumerate(self.longest))
        return f"load {self.load:4.0%}  longest wait  {waits}"


def starvation(seed: int, load: float, *, ageing: float = AGEING_SECONDS, hours: float = 2.0) -> Waits:
    """A lane at this load whose jobs are nine tenths priority 0; the others share the rest."""
    rng = random.Random(seed)
    arrivals, time = [], 0.0
    while time < hours * 3600:
        time += rng.expovariate(load * SLOTS / LENGTH)
        arrivals.append(Arrival(time, priority=0 if rng.random() < 0.9 else rng.randint(1, 3)))
    serve(arrivals, ageing=ageing, until=hours * 3600)
    early = [job for job in arrivals if job.time < hours * 1800]  # those who came late may rightly still wait
    longest = [max(_wait(job) for job in early if job.priority == priority) for priority in range(4)]
    return Waits(load, tuple(longest))


def first_of_another(jobs: int, *, fair: bool) -> float:
    """Seconds the first job of a workspace waits that comes one second after another workspace's `jobs`."""
    first = Arrival(1.0, workspace="b")
    serve([*(Arrival(0.0) for _ in range(jobs)), first], ageing=AGEING_SECONDS, until=math.inf, fair=fair)
    return first.waited


def _wait(job: Arrival) -> float:
    return job.waited if job.started >= 0 else math.inf


def report() -> str:
    """The figures for people."""
    lines = [f"waiting, {SLOTS} slots, jobs of {LENGTH:g} s, 90 % of priority 0, two hours:"]
    for load in (0.9, 1.0, 1.1):
        lines.append(f"  with ageing    {starvation(1, load)}")
        lines.append(f"  strict         {starvation(1, load, ageing=math.inf)}")
    lines.append("first job of a workspace, one second after another one's 100 jobs:")
    lines.append(f"  with windows   {first_of_another(100, fair=True):.0f} s")
    lines.append(f"  without        {first_of_another(100, fair=False):.0f} s")
    return "\n".join(lines)
