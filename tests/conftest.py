"""Fixtures every folder of tests may use: the real servers, one of each for a whole run."""

from __future__ import annotations

import secrets
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # helpers beside this file: servers, clips, triton_server

from masked_model import write_invert_masked
from recurrent_model import write_running_sum
from servers import (
    NatsServer,
    PostgresServer,
    S3Server,
    find_postgres,
    start_nats,
    start_postgres,
    start_s3,
)
from triton_server import RunningTriton, start_triton

from coordinator.sandbox import kernel
from framewire.bus.nats import NatsBus, NatsSettings
from framewire.storage.s3 import S3ObjectStore


@pytest.fixture(scope="session", autouse=True)
def no_real_time() -> None:
    """Clips in AV1 are encoded in this process: it, and every server started later, must not become real-time."""
    if sys.platform == "linux":
        kernel.forgo_real_time()


@pytest.fixture(scope="session")
def nats_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServer]:
    """One NATS for all tests: subjects carry job ids, which no two tests share."""
    with start_nats(tmp_path_factory.mktemp("nats")) as server:
        yield server


@pytest.fixture
def own_nats_server(tmp_path: Path) -> Iterator[NatsServer]:
    """A NATS of this test's own, to count or to kill."""
    folder = tmp_path / "nats"
    folder.mkdir()
    with start_nats(folder) as server:
        yield server


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with start_s3(tmp_path_factory.mktemp("s3")) as server:
        yield server


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    programs = find_postgres()
    if programs is None:
        pytest.skip("no PostgreSQL on this machine: install the package `postgresql` to run these tests")
    # not below pytest's own folder, which another run of pytest closes to everybody but root
    with (
        tempfile.TemporaryDirectory(prefix="framewire-postgres-") as folder,
        start_postgres(Path(folder), programs) as server,
    ):
        yield server


@pytest.fixture(scope="session")
def triton_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningTriton]:
    """One Triton with the built-in models, a recurrent one and one that takes a mask.

    Tests that kill it start one of their own.
    """
    folder = tmp_path_factory.mktemp("triton")
    write_running_sum(folder / "models")
    write_invert_masked(folder / "models")
    with start_triton(folder, more_models=[folder / "models"]) as server:
        yield server


@pytest.fixture
async def nats_bus(own_nats_server: NatsServer) -> AsyncIterator[NatsBus]:
    """A bus nobody else uses."""
    bus = await NatsBus.connect(NatsSettings(url=own_nats_server.url))
    yield bus
    await bus.close()


@pytest.fixture
async def s3_store(s3_server: S3Server) -> AsyncIterator[S3ObjectStore]:
    """A store with a bucket of this test's own."""
    store = S3ObjectStore(s3_server.settings(f"test-{secrets.token_hex(6)}"))
    await store.ensure_bucket()
    yield store
    await store.close()
