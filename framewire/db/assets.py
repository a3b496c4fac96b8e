"""Assets in the database. Every method is one transaction."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from framewire.db import outbox, queueing
from framewire.db.database import Database
from framewire.db.outbox import OutboxKind
from framewire.db.releasing import Windows, default_windows
from framewire.db.rows import Row, StoredAsset, stored_asset
from framewire.db.tables import assets, job_inputs, jobs
from framewire.errors import Conflict, ErrorCode, NotFound

_ENDED = ("SUCCEEDED", "FAILED", "CANCELLED")


class AssetStore:
    """Every method raises NotFound (ASSET_NOT_FOUND) for an asset that is not in the workspace."""

    def __init__(self, database: Database, windows: Windows = default_windows) -> None:
        self._database = database
        self._windows = windows

    async def create_upload(
        self,
        workspace_id: str,
        *,
        asset_id: str,
        filename: str,
        size_bytes: int,
        declared_sha256: str,
        object_key: str,
    ) -> StoredAsset:
        """Reserve an asset whose bytes are still to come."""
        values = {
            "asset_id": asset_id,
            "workspace_id": workspace_id,
            "filename": filename,
            "state": "UPLOADING",
            "size_bytes": size_bytes,
            "declared_sha256": declared_sha256,
            "sha256": "",
            "object_key": object_key,
            "source_job_id": "",
            "create_time": datetime.now(UTC),
        }
        async with self._database.write() as connection:
            await connection.execute(assets.insert().values(values))
            return stored_asset(await find(connection, workspace_id, asset_id))

    async def complete_upload(
        self, workspace_id: str, asset_id: str, *, sha256: str, object_key: str = ""
    ) -> StoredAsset:
        """Say that the bytes are there and checked, and queue the jobs that waited for nothing else.

        With an `object_key` they lie there from now on, and the deletion of what was uploaded is left in the outbox.
        An asset that is READY already stays as it is.
        """
        async with self._database.write() as connection:
            row = await find(connection, workspace_id, asset_id, lock=True)
            if row.state == "READY":
                return stored_asset(row)
            values = {"state": "READY", "sha256": sha256, "object_key": object_key or row.object_key}
            await connection.execute(assets.update().where(assets.c.asset_id == asset_id).values(values))
            moved = values["object_key"] != row.object_key
            if moved:
                uploaded = (OutboxKind.DELETE_OBJECT, row.object_key.encode())
                await outbox.put(connection, workspace_id, asset_id, uploaded)
            queued = await queueing.queue_waiting(connection, asset_id, self._windows)
            result = stored_asset(await find(connection, workspace_id, asset_id))
        if queued or moved:
            self._database.outbox_filled.set()
        return result

    async def get(self, workspace_id: str, asset_id: str) -> StoredAsset:
        """One asset."""
        async with self._database.read() as connection:
            return stored_asset(await find(connection, workspace_id, asset_id))

    async def list(self, workspace_id: str, *, limit: int, before: str = "") -> Sequence[StoredAsset]:
        """Up to `limit` assets, newest first, that are older than the asset `before`."""
        query = sa.select(assets).where(assets.c.workspace_id == workspace_id)
        if before:
            query = query.where(assets.c.asset_id < before)
        async with self._database.read() as connection:
            rows = await connection.execute(query.order_by(assets.c.asset_id.desc()).limit(limit))
            return [stored_asset(row) for row in rows]

    async def delete(self, workspace_id: str, asset_id: str) -> None:
        """Forget an asset and leave the deletion of its bytes in the outbox.

        Raises Conflict (ASSET_IN_USE) while a job that has not ended needs it.
        """
        async with self._database.write() as connection:
            row = await find(connection, workspace_id, asset_id, lock=True)
            if user := await _unfinished_user(connection, asset_id):
                raise Conflict(f"job {user} needs this asset; cancel it or wait", code=ErrorCode.ASSET_IN_USE)
            await connection.execute(assets.delete().where(assets.c.asset_id == asset_id))
            keys = filter(None, (row.object_key, row.thumbnail_key))
            deletions = [(OutboxKind.DELETE_OBJECT, key.encode()) for key in keys]
            await outbox.put(connection, workspace_id, asset_id, *deletions)
        self._database.outbox_filled.set()


async def find(connection: AsyncConnection, workspace_id: str, asset_id: str, *, lock: bool = False) -> Row:
    """The asset's row, locked until the transaction ends when asked for."""
    query = sa.select(assets).where(assets.c.workspace_id == workspace_id, assets.c.asset_id == asset_id)
    row = (await connection.execute(query.with_for_update() if lock else query)).one_or_none()
    if row is None:
        raise NotFound(f"no asset {asset_id}", code=ErrorCode.ASSET_NOT_FOUND)
    return row


async def _unfinished_user(connection: AsyncConnection, asset_id: str) -> str | None:
    query = (
        sa.select(jobs.c.job_id)
        .join(job_inputs, job_inputs.c.job_id == jobs.c.job_id)
        .where(job_inputs.c.asset_id == asset_id, jobs.c.state.not_in(_ENDED))
        .limit(1)
    )
    return (await connection.execute(query)).scalar()
