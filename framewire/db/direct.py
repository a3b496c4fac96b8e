"""Reads of single rows from an SQLite file, from a thread that does nothing else.

The asynchronous driver hands every step (begin, execute, fetch, roll back) to a thread and back. A read by key is one
step here, and reads that are asked for at the same time go together: in write-ahead mode they neither wait for the
writer nor hold it up. A statement is compiled once, by SQLAlchemy, whose types read the columns.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections import namedtuple
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple, cast

import sqlalchemy as sa
from sqlalchemy.engine import URL

_WAIT = 10.0  # seconds for a lock, which only a checkpoint that restarts the log takes


Parameters = Mapping[str, str | int]
"""Sent as they are."""


class _Asked(NamedTuple):
    statement: sa.Select[Any]
    parameters: Parameters
    answer: asyncio.Future[Any]


_Found = tuple[asyncio.Future[Any], Any, Exception | None]


class _Prepared:
    """A statement as the driver takes it, and how its columns are read."""

    def __init__(self, statement: sa.Select[Any], dialect: sa.Dialect) -> None:
        compiled = statement.compile(dialect=dialect)
        columns = list(statement.selected_columns)
        self._sql = str(compiled)
        self._names = compiled.positiontup or []
        self._row: Any = namedtuple("Row", [column.key for column in columns])  # type: ignore[misc]  # made of a table
        processors = [column.type.dialect_impl(dialect).result_processor(dialect, None) for column in columns]
        self._processors = [(place, process) for place, process in enumerate(processors) if process is not None]

    def read(self, connection: sqlite3.Connection, parameters: Parameters) -> Any:
        """The first row, with its columns' names; None when there is none. Raises what SQLAlchemy raises."""
        values = [parameters[name] for name in self._names]
        try:
            found = connection.execute(self._sql, values).fetchone()
        except sqlite3.OperationalError as error:
            raise sa.exc.OperationalError(self._sql, values, error) from error
        if found is None:
            return None
        row = list(found)
        for place, process in self._processors:
            row[place] = process(row[place])
        return self._row._make(row)


class DirectReader:
    """One thread and one connection, opened on first use; used from one event loop. `close` is idempotent."""

    def __init__(self, url: URL) -> None:
        self._engine = sa.create_engine(
            url.set(drivername="sqlite"),
            poolclass=sa.pool.NullPool,
            isolation_level="AUTOCOMMIT",
            connect_args={"timeout": _WAIT, "check_same_thread": False},
        )
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="direct-reader")
        self._connection: sa.PoolProxiedConnection | None = None
        self._prepared: dict[sa.Select[Any], _Prepared] = {}
        self._asked: list[_Asked] = []
        self._reading = False
        """Something is on its way to the thread, or back."""

    async def read_one(self, statement: sa.Select[Any], parameters: Parameters) -> Any:
        """The row a statement finds, as it was when this was called or later. Raises what SQLAlchemy raises.

        The statement is remembered for good: it has to be a constant.
        """
        loop = asyncio.get_running_loop()
        asked = _Asked(statement, parameters, loop.create_future())
        self._asked.append(asked)
        if not self._reading:
            self._reading = True
            loop.call_soon(self._send, loop)
        return await asked.answer

    async def close(self) -> None:
        """Wait for the reads that run, then close."""
        await asyncio.to_thread(self._thread.shutdown)
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        self._engine.dispose()

    def _send(self, loop: asyncio.AbstractEventLoop) -> None:
        """One way to the thread and back for all that was asked since the last one."""
        asked, self._asked = self._asked, []
        try:
            self._thread.submit(self._read_all, asked, loop)
        except RuntimeError as error:  # closed
            self._answer(loop, [(each.answer, None, error) for each in asked])

    def _read_all(self, asked: list[_Asked], loop: asyncio.AbstractEventLoop) -> None:
        found = [(each.answer, *self._read(each)) for each in asked]
        loop.call_soon_threadsafe(self._answer, loop, found)

    def _answer(self, loop: asyncio.AbstractEventLoop, found: Sequence[_Found]) -> None:
        for answer, row, error in found:
            if answer.done():
                continue  # nobody waits for it any more
            if error is not None:
                answer.set_exception(error)
            else:
                answer.set_result(row)
        if self._asked:
            self._send(loop)
        else:
            self._reading = False

    def _read(self, asked: _Asked) -> tuple[Any, Exception | None]:
        try:
            if self._connection is None:
                self._connection = self._engine.raw_connection()
                self._connection.cursor().execute("PRAGMA query_only=ON")
            prepared = self._prepared.get(asked.statement)
            if prepared is None:
                prepared = self._prepared[asked.statement] = _Prepared(asked.statement, self._engine.dialect)
            return prepared.read(cast("sqlite3.Connection", self._connection.driver_connection), asked.parameters), None
        except Exception as error:  # noqa: BLE001 - raised where it was asked
            if self._connection is not None:
                self._connection.close()
                self._connection = None
            return None, error
