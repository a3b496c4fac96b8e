"""Assets in the database. Every method is one transaction."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from framewire.db import outbox, queueing
from framewire.db.database import Database
from framewire.db.outbox import Entry, OutboxKind
from framewire.db.releasing import Windows, default_windows
from framewire.db.rows import Row, StoredAsset, stored_asset
from framewire.db.tables import assets, job_inputs, jobs, uploads
from framewire.errors import Conflict, ErrorCode, NotFound
from framewire.v1.asset_pb2 import MediaInfo

ENDED = ("SUCCEEDED", "FAILED", "CANCELLED")


@dataclass(frozen=True, slots=True, kw_only=True)
class Deletions:
    """What has to be deleted from the object store, which this package does not know."""

    sent: Callable[[StoredAsset, str], Sequence[Entry]] = lambda stored, multipart_id: _object(stored)
    """Of an upload that is over, one way or the other; with the id of its multipart upload, which may be empty."""
    kept: Callable[[StoredAsset], Sequence[Entry]] = lambda stored: _object(stored)
    """Of an asset that is forgotten."""


class AssetStore:
    """Every method raises NotFound (ASSET_NOT_FOUND) for an asset that is not in the workspace."""

    def __init__(
        self,
        database: Database,
        windows: Windows = default_windows,
        deletions: Deletions = Deletions(),
    ) -> None:
        self._database = database
        self._windows = windows
        self._deletions = deletions

    async def create_upload(
        self,
        workspace_id: str,
        *,
        asset_id: str,
        filename: str,
        size_bytes: int,
        declared_sha256: str,
        object_key: str,
        part_size: int = 8 << 20,
        expires: datetime | None = None,
    ) -> StoredAsset:
        """Reserve an asset whose bytes are still to come, until `expires`."""
        values = _new_row(workspace_id, asset_id, filename, size_bytes, object_key)
        values |= {"state": "UPLOADING", "declared_sha256": declared_sha256, "sha256": "", "expire_time": expires}
        upload = {"asset_id": asset_id, "workspace_id": workspace_id, "part_size": part_size}
        async with self._database.write() as connection:
            await connection.execute(assets.insert().values(values))
            await connection.execute(uploads.insert().values(**upload, multipart_id="", writer=""))
            return stored_asset(await find(connection, workspace_id, asset_id))

    async def find_same(self, workspace_id: str, *, sha256: str, size_bytes: int) -> StoredAsset | None:
        """The newest READY asset of the workspace with these bytes; None when there is none."""
        same = (assets.c.workspace_id == workspace_id, assets.c.sha256 == sha256, assets.c.size_bytes == size_bytes)
        query = sa.select(assets).where(*same, assets.c.state == "READY").order_by(assets.c.asset_id.desc()).limit(1)
        async with self._database.read() as connection:
            row = (await connection.execute(query)).one_or_none()
        return None if row is None else stored_asset(row)

    async def complete_upload(
        self,
        workspace_id: str,
        asset_id: str,
        *,
        sha256: str,
        object_key: str = "",
        media: MediaInfo | None = None,
        expires: datetime | None = None,
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
            values |= {"expire_time": expires, "media": media.SerializeToString() if media is not None else None}
            await connection.execute(assets.update().where(assets.c.asset_id == asset_id).values(values))
            multipart_id = await _end_upload(connection, asset_id)
            moved = values["object_key"] != row.object_key
            if moved:
                entries = self._deletions.sent(stored_asset(row), multipart_id)
                await outbox.put(connection, workspace_id, asset_id, *entries)
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
        """Up to `limit` READY assets, newest first, that are older than the asset `before`."""
        query = sa.select(assets).where(assets.c.workspace_id == workspace_id, assets.c.state == "READY")
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
            if user := await unfinished_user(connection, asset_id):
                raise Conflict(f"job {user} needs this asset; cancel it or wait", code=ErrorCode.ASSET_IN_USE)
            await forget(connection, row, self._deletions)
        self._database.outbox_filled.set()


async def find(connection: AsyncConnection, workspace_id: str, asset_id: str, *, lock: bool = False) -> Row:
    """The asset's row, locked until the transaction ends when asked for."""
    query = sa.select(assets).where(assets.c.workspace_id == workspace_id, assets.c.asset_id == asset_id)
    row = (await connection.execute(query.with_for_update() if lock else query)).one_or_none()
    if row is None:
        raise NotFound(f"no asset {asset_id}", code=ErrorCode.ASSET_NOT_FOUND)
    return row


async def forget(connection: AsyncConnection, row: Row, deletions: Deletions) -> None:
    """Delete an asset's row, which is locked, and leave the deletion of its bytes in the outbox."""
    stored = stored_asset(row)
    entries = list(deletions.kept(stored))
    if row.state == "UPLOADING":
        entries += deletions.sent(stored, await _end_upload(connection, row.asset_id))
    await connection.execute(assets.delete().where(assets.c.asset_id == row.asset_id))
    await outbox.put(connection, row.workspace_id, row.asset_id, *dict.fromkeys(entries))


async def unfinished_user(connection: AsyncConnection, asset_id: str) -> str | None:
    """A job that has not ended and needs the asset."""
    query = (
        sa.select(jobs.c.job_id)
        .join(job_inputs, job_inputs.c.job_id == jobs.c.job_id)
        .where(job_inputs.c.asset_id == asset_id, jobs.c.state.not_in(ENDED))
        .limit(1)
    )
    return (await connection.execute(query)).scalar()


async def _end_upload(connection: AsyncConnection, asset_id: str) -> str:
    """Forget how the upload went. Returns the id of its multipart upload, empty when there is none."""
    query = sa.select(uploads.c.multipart_id).where(uploads.c.asset_id == asset_id)
    multipart_id = (await connection.execute(query)).scalar()
    await connection.execute(uploads.delete().where(uploads.c.asset_id == asset_id))
    return multipart_id or ""


def _new_row(workspace_id: str, asset_id: str, filename: str, size_bytes: int, object_key: str) -> dict[str, Any]:
    return {
        "asset_id": asset_id,
        "workspace_id": workspace_id,
        "filename": filename,
        "size_bytes": size_bytes,
        "object_key": object_key,
        "source_job_id": "",
        "create_time": datetime.now(UTC),
    }


def _object(stored: StoredAsset) -> list[Entry]:
    keys = filter(None, (stored.object_key, stored.thumbnail_key))
    return [(OutboxKind.DELETE_OBJECT, key.encode()) for key in keys]
