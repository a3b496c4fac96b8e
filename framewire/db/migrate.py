"""Bring a database to the newest schema."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import command
from alembic.config import Config

from framewire.db.database import Database

_LOCK = 0x6672616D65776972  # "framewir": the advisory lock every gateway takes before it migrates


async def upgrade(database: Database, revision: str = "head") -> None:
    """Apply the migrations that are missing, in one transaction. Several gateways may start at once: one does it."""
    async with database.write() as connection:
        await connection.run_sync(_upgrade, revision)


def _upgrade(connection: sa.Connection, revision: str) -> None:
    if connection.dialect.name == "postgresql":  # SQLite's write lock is taken already
        connection.execute(sa.text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
    config = Config()
    config.set_main_option("script_location", "framewire.db:migrations")
    config.attributes["connection"] = connection
    command.upgrade(config, revision)
