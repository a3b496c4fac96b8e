"""One database, SQLite or PostgreSQL, and its two kinds of transaction."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from typing import Any, Self

import sqlalchemy as sa
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from framewire.db.direct import DirectReader
from framewire.errors import ErrorCode, LocalError, Unavailable

_WAIT = 10.0  # seconds for a connection or a lock
_STATEMENT = 30.0  # seconds for one statement
_READ_ONLY = "framewire_read_only"
_GONE = ("08", "40", "53", "57")  # SQLSTATE classes: connection, rolled back (a deadlock), resources, shutdown


class Database:
    """Transactions on one database. Both kinds raise Unavailable (DATABASE_UNAVAILABLE) when it does not answer."""

    def __init__(self, engine: AsyncEngine, direct: DirectReader | None = None) -> None:
        self.engine = engine
        self._autocommit = engine.execution_options(isolation_level="AUTOCOMMIT")
        self._direct = direct
        self.outbox_filled = asyncio.Event()
        """Set when a transaction of this process that filled the outbox was committed."""
        # SQLite has one writer at a time and lets the others poll; waiting in line here is fair and quicker.
        sqlite = engine.dialect.name == "sqlite"
        self._turn: contextlib.AbstractAsyncContextManager[object] = (
            asyncio.Lock() if sqlite else contextlib.nullcontext()
        )

    @classmethod
    def open(cls, url: str) -> Self:
        """The database at `sqlite+aiosqlite:///PATH` or `postgresql+asyncpg://...`. Connects on first use.

        Raises LocalError (CONFIG_INVALID) for another kind of URL.
        """
        parsed = _parse(url)
        if parsed.drivername == "sqlite+aiosqlite":
            return cls(_sqlite_engine(parsed), None if _in_memory(parsed) else DirectReader(parsed))
        if parsed.drivername == "postgresql+asyncpg":
            return cls(_postgres_engine(parsed))
        raise LocalError(
            f"the database URL must begin with sqlite+aiosqlite or postgresql+asyncpg, not {parsed.drivername}"
        )

    @contextlib.asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """A transaction that only reads."""
        with _unavailable():
            async with self.engine.connect() as connection:
                await connection.execution_options(**{_READ_ONLY: True})
                async with connection.begin():
                    yield connection

    async def read_one(self, statement: sa.Select[Any], **parameters: str | int) -> Any:
        """The row of a statement that finds one at most with these parameters, as it was last committed.

        What is asked for most, by its key, is asked for this way: a transaction costs several times the statement.
        """
        with _unavailable():
            if self._direct is not None:
                return await self._direct.read_one(statement, parameters)
            if self.engine.dialect.name == "sqlite":
                async with self.read() as connection:
                    return _at_most_one(await connection.execute(statement, parameters))
            async with self._autocommit.connect() as connection:
                return _at_most_one(await connection.execute(statement, parameters))

    @contextlib.asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncConnection]:
        """A transaction that is committed when the block ends, and rolled back when it raises."""
        with _unavailable():
            async with self._turn, self.engine.begin() as connection:
                yield connection

    async def ping(self) -> None:
        """Raise Unavailable unless the database answers."""
        async with self.read() as connection:
            await connection.execute(sa.text("SELECT 1"))

    async def close(self) -> None:
        """Close every connection. Idempotent."""
        if self._direct is not None:
            await self._direct.close()
        await self.engine.dispose()


def _at_most_one(result: sa.CursorResult[Any]) -> sa.Row[Any] | None:
    return result.one_or_none()


def _parse(url: str) -> URL:
    try:
        return make_url(url)
    except sa.exc.ArgumentError:
        raise LocalError("the database URL cannot be read") from None  # it may hold a password: not repeated


def _postgres_engine(url: URL) -> AsyncEngine:
    return create_async_engine(
        url,
        pool_size=10,
        max_overflow=0,
        pool_timeout=_WAIT,
        pool_pre_ping=True,
        connect_args={"timeout": _WAIT, "command_timeout": _STATEMENT},
    )


def _sqlite_engine(url: URL) -> AsyncEngine:
    in_memory = _in_memory(url)
    engine = create_async_engine(
        url,
        poolclass=sa.pool.AsyncAdaptedQueuePool,
        # in memory there is no write-ahead log: transactions take turns
        pool_size=1 if in_memory else 5,
        max_overflow=0,
        pool_timeout=_WAIT,
        connect_args={"timeout": _WAIT},
    )
    sa.event.listen(engine.sync_engine, "connect", _configure_sqlite)
    sa.event.listen(engine.sync_engine, "begin", _begin_sqlite)
    return engine


def _in_memory(url: URL) -> bool:
    return url.query.get("vfs") == "memdb" or url.database in {None, "", ":memory:"}


def _configure_sqlite(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # the driver would begin transactions late; `_begin_sqlite` does it
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", f"busy_timeout={int(_WAIT * 1000)}"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(connection: sa.Connection) -> None:
    # a transaction that reads first and then writes fails at once when another wrote in between: lock first
    read_only = connection.get_execution_options().get(_READ_ONLY, False)
    connection.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")


@contextlib.contextmanager
def _unavailable() -> Iterator[None]:
    try:
        yield
    except DBAPIError as error:
        if not _is_gone(error):
            raise
        raise _database_unavailable(error) from error
    except (OSError, PoolTimeoutError) as error:
        raise _database_unavailable(error) from error


def _is_gone(error: DBAPIError) -> bool:
    state = str(getattr(error.orig, "sqlstate", "") or "")
    return (
        error.connection_invalidated or isinstance(error, OperationalError | InterfaceError) or state.startswith(_GONE)
    )


def _database_unavailable(error: Exception) -> Unavailable:
    return Unavailable(f"the database does not answer ({type(error).__name__})", code=ErrorCode.DATABASE_UNAVAILABLE)
