"""What is deleted because its time is over. Gateways may do it at the same time: each row is one's alone."""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from framewire.db import outbox, queueing
from framewire.db.assets import ENDED, Deletions, forget, unfinished_user
from framewire.db.database import Database
from framewire.db.folding import ObjectKeys
from framewire.db.tables import assets, job_inputs, jobs, uploads, workspaces
from framewire.errors import ErrorCode
from framewire.v1.job_pb2 import Error
from framewire.work.v1.work_pb2 import JobOrder

_MESSAGE = "the upload of its input was not finished in time"


class ExpiryStore:
    """Every method is one transaction that looks at `limit` rows at most and returns how many it dealt with."""

    def __init__(self, database: Database, deletions: Deletions, keys: ObjectKeys) -> None:
        self._database = database
        self._deletions = deletions
        self._keys = keys

    async def give_up_uploads(self, now: datetime, *, limit: int = 100) -> int:
        """Forget uploads whose time is over, unless somebody is sending; the jobs that waited for them fail."""
        sending = sa.select(uploads.c.asset_id).where(uploads.c.writer_until > now)
        late = (assets.c.state == "UPLOADING", assets.c.expire_time < now, assets.c.asset_id.not_in(sending))
        async with self._database.write() as connection:
            rows = (await connection.execute(_locked(sa.select(assets).where(*late), assets, limit))).all()
            for row in rows:
                await _fail_waiting(connection, row.asset_id)
                await forget(connection, row, self._deletions)
        return self._told(len(rows))

    async def begin_to_count(self, keep: timedelta) -> None:
        """Give an end to assets that have none: results, and what was made while everything was kept for ever."""
        endless = (assets.c.state == "READY", assets.c.expire_time.is_(None))
        values = assets.update().where(*endless).values(expire_time=datetime.now(UTC) + keep)
        async with self._database.read() as connection:
            if (await connection.execute(sa.select(assets.c.asset_id).where(*endless).limit(1))).first() is None:
                return
        async with self._database.write() as connection:
            await connection.execute(values)

    async def delete_assets(self, now: datetime, *, limit: int = 100) -> int:
        """Forget READY assets whose time is over and that no unfinished job needs."""
        needed = (
            sa.select(job_inputs.c.asset_id)
            .join(jobs, jobs.c.job_id == job_inputs.c.job_id)
            .where(jobs.c.state.not_in(ENDED))
        )
        late = (assets.c.state == "READY", assets.c.expire_time < now, assets.c.asset_id.not_in(needed))
        deleted = 0
        async with self._database.write() as connection:
            for row in (await connection.execute(_locked(sa.select(assets).where(*late), assets, limit))).all():
                # again, now that it is locked: a job may just have been created
                if not await unfinished_user(connection, row.asset_id):
                    await forget(connection, row, self._deletions)
                    deleted += 1
        return self._told(deleted)

    async def delete_segments(self, before: datetime, *, limit: int = 100) -> int:
        """Forget what is kept of jobs that FAILED before this time, for a retry."""
        late = (jobs.c.state == "FAILED", ~jobs.c.segments_gone, jobs.c.end_time < before)
        columns = sa.select(jobs.c.job_id, jobs.c.workspace_id)
        async with self._database.write() as connection:
            rows = (await connection.execute(_locked(columns.where(*late), jobs, limit))).all()
            for row in rows:
                prefix = self._keys.segments(row.workspace_id, row.job_id)
                await outbox.delete_segments(connection, row.workspace_id, row.job_id, prefix)
                await connection.execute(jobs.update().where(jobs.c.job_id == row.job_id).values(segments_gone=True))
        return self._told(len(rows))

    async def workspaces(self) -> list[str]:
        """Every workspace."""
        async with self._database.read() as connection:
            return list((await connection.execute(sa.select(workspaces.c.workspace_id))).scalars())

    async def under_way(self, asset_ids: Collection[str]) -> dict[str, str]:
        """Which of these are still being uploaded, and the ids of their multipart uploads."""
        columns = sa.select(uploads.c.asset_id, uploads.c.multipart_id)
        async with self._database.read() as connection:
            found = await connection.execute(columns.where(uploads.c.asset_id.in_(asset_ids)))
            return {row.asset_id: row.multipart_id for row in found}

    def _told(self, count: int) -> int:
        if count:
            self._database.outbox_filled.set()
        return count


def _locked(query: sa.Select[tuple[object, ...]], table: sa.Table, limit: int) -> sa.Select[tuple[object, ...]]:
    """The first rows, those that somebody else holds passed over."""
    key = next(iter(table.primary_key))
    return query.order_by(key).limit(limit).with_for_update(skip_locked=True, of=table)


async def _fail_waiting(connection: AsyncConnection, asset_id: str) -> None:
    users = sa.select(job_inputs.c.job_id).where(job_inputs.c.asset_id == asset_id)
    waiting = sa.select(jobs.c.job_order).where(jobs.c.job_id.in_(users), jobs.c.state == "WAITING_UPLOAD")
    error = Error(code=ErrorCode.UPLOAD_EXPIRED, message=_MESSAGE)
    for order in (await connection.execute(waiting.with_for_update())).scalars():
        await queueing.announce(connection, JobOrder.FromString(order), "FAILED", _MESSAGE, error=error)
