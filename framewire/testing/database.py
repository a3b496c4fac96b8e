"""A database in memory: the real tables and the real migrations, gone when it is closed."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

from framewire.db.database import Database
from framewire.db.migrate import upgrade


@contextlib.asynccontextmanager
async def memory_database() -> AsyncIterator[Database]:
    """A migrated SQLite database of this process alone. Its transactions take turns on one connection."""
    database = Database.open("sqlite+aiosqlite:///:memory:")
    try:
        await upgrade(database)
        yield database
    finally:
        await database.close()
