"""Reads of single rows from an SQLite file, from a thread that does nothing else.

The asynchronous driver hands every step (begin, execute, fetch, roll back) to a thread and back. A read by key is one
step here: in write-ahead mode it neither waits for the writer nor holds it up.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import URL

_WAIT = 10.0  # seconds for a lock, which only a checkpoint that restarts the log takes


class DirectReader:
    """One thread and one connection, opened on first use. `close` is idempotent."""

    def __init__(self, url: URL) -> None:
        self._engine = sa.create_engine(
            url.set(drivername="sqlite"),
            poolclass=sa.pool.NullPool,
            isolation_level="AUTOCOMMIT",
            connect_args={"timeout": _WAIT, "check_same_thread": False},
        )
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="direct-reader")
        self._connection: sa.Connection | None = None

    async def read_one(self, statement: sa.Select[Any]) -> sa.Row[Any] | None:
        """The row a statement finds, as it was last committed. Raises what SQLAlchemy raises."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._read, statement)

    async def close(self) -> None:
        """Wait for the read that runs, then close."""
        await asyncio.to_thread(self._thread.shutdown)
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        self._engine.dispose()

    def _read(self, statement: sa.Select[Any]) -> sa.Row[Any] | None:
        if self._connection is None:
            self._connection = self._engine.connect()
            self._connection.exec_driver_sql("PRAGMA query_only=ON")
        try:
            return self._connection.execute(statement).one_or_none()
        except BaseException:
            self._connection.close()
            self._connection = None
            raise
