"""What is needed to compare the rows with the log: either may come back from a backup behind the other."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import sqlalchemy as sa

from framewire.db import outbox, rows
from framewire.db.database import Database
from framewire.db.outbox import OutboxKind
from framewire.db.tables import jobs
from framewire.db.tables import outbox as outbox_table
from framewire.v1.job_pb2 import Event, Job
from framewire.work.v1.work_pb2 import JobOrder

_SETTLED = jobs.c.job_id.not_in(sa.select(outbox_table.c.subject))
"""Nothing about the job is on its way to the bus."""
_RESTS = jobs.c.state.in_(("SUCCEEDED", "FAILED", "CANCELLED", "WAITING_UPLOAD"))


class RepairStore:
    """Jobs of all workspaces, those with something in the outbox left out: they are about to change."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def unfinished(self, *, after: str, limit: int) -> Sequence[tuple[Job, JobOrder]]:
        """Up to `limit` jobs with ids above `after` that have an order in the queue or are run, with their orders."""
        query = sa.select(jobs).where(
            jobs.c.job_id > after, jobs.c.state.in_(("QUEUED", "RUNNING")), jobs.c.released, _SETTLED
        )
        async with self._database.read() as connection:
            found = await connection.execute(query.order_by(jobs.c.job_id).limit(limit))
            return [(rows.job(row), JobOrder.FromString(row.job_order)) for row in found]

    async def resting(self, *, since: datetime, after: str, limit: int) -> Sequence[Job]:
        """Up to `limit` jobs that have ended or wait for an upload, created `since` then, with ids above `after`."""
        query = sa.select(jobs).where(jobs.c.job_id > after, jobs.c.create_time >= since, _RESTS, _SETTLED)
        async with self._database.read() as connection:
            found = await connection.execute(query.order_by(jobs.c.job_id).limit(limit))
            return [rows.job(row) for row in found]

    async def renumber(self, job: Job, number: int) -> None:
        """Let the row have folded events up to `number` and no further, if it is still as `job` says."""
        query = jobs.update().where(jobs.c.job_id == job.job_id, jobs.c.last_event == job.last_event)
        async with self._database.write() as connection:
            await connection.execute(query.values(last_event=number))

    async def begin_anew(self, job: Job, said: Event) -> None:
        """Leave the event `said` and the job's order in the outbox, for a log that is empty.

        Nothing happens when the row is not as `job` says any more.
        """
        query = sa.select(jobs.c.job_order).where(jobs.c.job_id == job.job_id, jobs.c.last_event == job.last_event)
        async with self._database.write() as connection:
            order = (await connection.execute(query.with_for_update())).scalar()
            if order is None:
                return
            await connection.execute(jobs.update().where(jobs.c.job_id == job.job_id).values(last_event=0))
            entries = [(OutboxKind.APPEND_EVENT, said.SerializeToString()), (OutboxKind.PUBLISH_ORDER, order)]
            await outbox.put(connection, job.workspace_id, job.job_id, *entries)
        self._database.outbox_filled.set()
