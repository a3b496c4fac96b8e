"""A database in memory: the real tables and the real migrations, gone when it is closed."""

from __future__ import annotations

import contextlib
import secrets
import sqlite3
from collections.abc import AsyncIterator

from framewire.db.database import Database
from framewire.db.migrate import upgrade


@contextlib.asynccontextmanager
async def memory_database(*, migrated: bool = True) -> AsyncIterator[Database]:
    """A SQLite database of this process alone, empty or migrated; its transactions take turns.

    It outlives its connections, unlike `:memory:`: a query that is cancelled costs the connection it ran on.
    """
    file = f"file:/{secrets.token_hex(8)}?vfs=memdb"
    anchor = sqlite3.connect(file, uri=True)
    database = Database.open(f"sqlite+aiosqlite:///{file}&uri=true")
    try:
        if migrated:
            await upgrade(database)
        yield database
    finally:
        await database.close()
        anchor.close()
