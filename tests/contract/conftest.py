"""Every database the gateway may stand on."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from databases import Stores, file_database, postgres_database

from framewire.db.database import Database
from framewire.db.migrate import upgrade
from framewire.testing.database import memory_database


@pytest.fixture(params=["memory", "file", "postgres"])
async def empty_database(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Database]:
    match request.param:
        case "memory":
            opened = memory_database(migrated=False)
        case "file":
            opened = file_database(tmp_path)
        case _:
            opened = postgres_database(request.getfixturevalue("postgres_server"))
    async with opened as database:
        yield database


@pytest.fixture
async def database(empty_database: Database) -> Database:
    await upgrade(empty_database)
    return empty_database


@pytest.fixture
async def stores(database: Database) -> Stores:
    return Stores(database)
