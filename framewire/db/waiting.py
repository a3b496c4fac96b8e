"""What waits and what runs: one question for any number of jobs."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from framewire.db.database import Database
from framewire.db.releasing import Windows, default_windows
from framewire.db.tables import jobs

_LATELY = 20
"""Ended jobs of a lane whose duration is averaged."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneView:
    """A lane as the database knows it."""

    waiting: int = 0
    """Jobs that are QUEUED."""
    running: int = 0
    """Jobs that are RUNNING."""
    oldest: datetime | None = None
    """Since when the first of those that wait does; None when none waits."""
    average: float | None = None
    """How long its jobs took lately, in seconds; None while none has succeeded."""
    positions: Mapping[str, int] = field(default_factory=dict)
    """Job id -> its place among those that wait, 1 is next; only the jobs that were asked for."""


class QueueView:
    """Lanes over all workspaces: their workers are shared."""

    def __init__(self, database: Database, windows: Windows = default_windows) -> None:
        self._database = database
        self._windows = windows

    async def lane(self, lane: str, job_ids: Collection[str] | None = ()) -> LaneView:
        """The lane, with the positions of those of `job_ids` that wait in it; of all that wait with None."""
        async with self._database.read() as connection:
            counts = {row.state: row for row in await connection.execute(_counts(lane))}
            took = [(row.end_time - row.start_time).total_seconds() for row in await connection.execute(_ended(lane))]
            places: dict[str, int] = {}
            if job_ids is None or job_ids:
                rows = await connection.execute(_positions(lane, self._windows(lane), job_ids))
                places = {row.job_id: row.position for row in rows}
        return LaneView(
            waiting=counts["QUEUED"].count_ if "QUEUED" in counts else 0,
            running=counts["RUNNING"].count_ if "RUNNING" in counts else 0,
            oldest=counts["QUEUED"].oldest if "QUEUED" in counts else None,
            average=sum(took) / len(took) if took else None,
            positions=places,
        )


def _counts(lane: str) -> sa.Select[Any]:
    return (
        sa.select(
            jobs.c.state,
            sa.func.count().label("count_"),
            sa.func.min(jobs.c.queue_time).label("oldest"),
        )
        .where(jobs.c.lane == lane, jobs.c.state.in_(("QUEUED", "RUNNING")))
        .group_by(jobs.c.state)
    )


def _ended(lane: str) -> sa.Select[Any]:
    return (
        sa.select(jobs.c.start_time, jobs.c.end_time)
        .where(jobs.c.lane == lane, jobs.c.state == "SUCCEEDED", jobs.c.start_time.is_not(None))
        .order_by(jobs.c.end_time.desc())
        .limit(_LATELY)
    )


def _positions(lane: str, window: int, job_ids: Collection[str] | None) -> sa.Select[Any]:
    """The order in which the jobs of a lane come up, ageing aside.

    Priority by priority; within one, a window of each workspace's jobs, then the next window of each.
    """
    number = sa.func.row_number()
    age = (jobs.c.queue_time, jobs.c.job_id)
    own = number.over(partition_by=(jobs.c.workspace_id, jobs.c.priority), order_by=age)
    waiting = (
        sa.select(jobs.c.job_id, jobs.c.priority, jobs.c.queue_time, own.label("own"))
        .where(jobs.c.lane == lane, jobs.c.state == "QUEUED")
        .subquery()
    )
    turn = (waiting.c.own - 1) // sa.literal(window, sa.Integer)
    place = number.over(order_by=(waiting.c.priority, turn, waiting.c.queue_time, waiting.c.job_id))
    ranked = sa.select(waiting.c.job_id, place.label("position")).subquery()
    query = sa.select(ranked.c.job_id, ranked.c.position)
    return query if job_ids is None else query.where(ranked.c.job_id.in_(job_ids))
