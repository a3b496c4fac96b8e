"""How uploads under way are sent: in which parts, and by whom."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import sqlalchemy as sa

from framewire.db.assets import find
from framewire.db.database import Database
from framewire.db.rows import StoredAsset, stored_asset
from framewire.db.tables import uploads


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredUpload:
    """An asset's upload."""

    stored: StoredAsset
    part_size: int
    """Bytes of every part but the last."""
    multipart_id: str
    """The store's name for it; empty while no part was begun, and once the asset is READY."""


class UploadStore:
    """Every method is one transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, workspace_id: str, asset_id: str) -> StoredUpload:
        """One upload. Of a READY asset, nothing but the asset is told. Raises NotFound (ASSET_NOT_FOUND)."""
        async with self._database.read() as connection:
            asset = await find(connection, workspace_id, asset_id)
            row = (await connection.execute(sa.select(uploads).where(uploads.c.asset_id == asset_id))).one_or_none()
        part_size, multipart_id = (row.part_size, row.multipart_id) if row is not None else (0, "")
        return StoredUpload(stored=stored_asset(asset), part_size=part_size, multipart_id=multipart_id)

    async def set_multipart(self, asset_id: str, multipart_id: str, *, instead_of: str) -> bool:
        """Name the multipart upload, unless it is no longer `instead_of`. Whether it was."""
        query = uploads.update().where(uploads.c.asset_id == asset_id, uploads.c.multipart_id == instead_of)
        async with self._database.write() as connection:
            return (await connection.execute(query.values(multipart_id=multipart_id))).rowcount == 1

    async def hold(self, asset_id: str, writer: str, seconds: float) -> bool:
        """Let `writer` be the only one who sends, for so long. False when somebody else is, or nothing is to be sent.

        Again before the time is over to go on; somebody who says nothing for so long may be replaced.
        """
        now = datetime.now(UTC)
        free = sa.or_(uploads.c.writer.in_(("", writer)), uploads.c.writer_until < now)
        query = uploads.update().where(uploads.c.asset_id == asset_id, free)
        until = now + timedelta(seconds=seconds)
        async with self._database.write() as connection:
            return (await connection.execute(query.values(writer=writer, writer_until=until))).rowcount == 1

    async def let_go(self, asset_id: str, writer: str) -> None:
        """`writer` is done. Changes nothing when it was replaced."""
        query = uploads.update().where(uploads.c.asset_id == asset_id, uploads.c.writer == writer)
        async with self._database.write() as connection:
            await connection.execute(query.values(writer="", writer_until=None))
