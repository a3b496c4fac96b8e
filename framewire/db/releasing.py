"""Which QUEUED jobs have their order in the queue: a window of each workspace's, the others follow as these end.

How large the window is, and why, says framewire/jobs/fairness.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from framewire.db import outbox
from framewire.db.outbox import OutboxKind
from framewire.db.tables import jobs, workspaces
from framewire.jobs import fairness
from framewire.v1.step_pb2 import Lane
from framewire.work.v1.work_pb2 import JobOrder

Windows = Callable[[str], int]
"""Lane (`gpu`, `cpu`) -> how many orders of one workspace and priority may stand in its queue now."""


def default_windows(lane: str) -> int:
    """The windows while nothing is known of any worker."""
    return fairness.LEAST_WINDOW


def lane_column(lane: Lane.ValueType) -> str:
    """A lane as the column has it: `gpu`."""
    return Lane.Name(lane).removeprefix("LANE_").lower()


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """What one window is for."""

    workspace_id: str
    lane: str
    priority: int

    @classmethod
    def of(cls, order: JobOrder) -> Place:
        """Where an order stands."""
        return cls(order.workspace_id, lane_column(order.lane), order.priority)

    def condition(self) -> sa.ColumnElement[bool]:
        """The jobs of this place."""
        return sa.and_(
            jobs.c.lane == self.lane, jobs.c.workspace_id == self.workspace_id, jobs.c.priority == self.priority
        )


WAITS_OUTSIDE = sa.and_(jobs.c.state == "QUEUED", ~jobs.c.released, ~jobs.c.cancel_requested)
"""The jobs that could be released."""


async def release(connection: AsyncConnection, places: Iterable[Place], windows: Windows) -> int:
    """Leave in the outbox the orders of the oldest jobs for which there is room. Returns how many.

    Whoever releases holds the workspace until its transaction ends, so that two do not fill the same room. Rows
    somebody else holds are passed over, not waited for: he may be waiting for the workspace.
    """
    released = 0
    for place in sorted(set(places)):
        # not FOR UPDATE, which would wait for everybody who has just inserted a row that belongs to the workspace
        query = sa.select(workspaces.c.workspace_id).where(workspaces.c.workspace_id == place.workspace_id)
        await connection.execute(query.with_for_update(key_share=True))
        room = fairness.room(await _held(connection, place), windows(place.lane))
        for row in await _oldest(connection, place, room):
            await connection.execute(jobs.update().where(jobs.c.job_id == row.job_id).values(released=True))
            entry = (OutboxKind.PUBLISH_ORDER, row.job_order)
            await outbox.put(connection, place.workspace_id, row.job_id, entry)
            released += 1
    return released


async def places_outside(connection: AsyncConnection) -> dict[Place, int]:
    """How many jobs wait outside the queue, by place."""
    columns = (jobs.c.workspace_id, jobs.c.lane, jobs.c.priority)
    rows = await connection.execute(sa.select(*columns, sa.func.count()).where(WAITS_OUTSIDE).group_by(*columns))
    return {Place(*row[:3]): row[3] for row in rows}


async def _held(connection: AsyncConnection, place: Place) -> int:
    query = sa.select(sa.func.count()).where(
        place.condition(), jobs.c.state.in_(("QUEUED", "RUNNING")), jobs.c.released
    )
    return (await connection.execute(query)).scalar_one()


async def _oldest(connection: AsyncConnection, place: Place, limit: int) -> list[sa.Row[Any]]:
    if limit == 0:
        return []
    query = (
        sa.select(jobs.c.job_id, jobs.c.job_order)
        .where(place.condition(), WAITS_OUTSIDE)
        .order_by(jobs.c.queue_time, jobs.c.job_id)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    return list(await connection.execute(query))
