"""A real gateway on real NATS and S3, and a real worker whose runner does what its input says."""

from __future__ import annotations

import secrets
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest
from servers import NatsServer, S3Server

sys.path.insert(0, str(Path(__file__).parent))  # helpers beside this file
from wires import Wire, all_wires
from worker_rig import Rig

from framewire.bus.nats import NatsBus, NatsSettings
from framewire.db.database import Database
from framewire.steps.contract import DEFAULT_ENHANCE_MODEL
from framewire.storage.s3 import S3ObjectStore
from gateway.addresses import Address
from gateway.app import Gateway
from gateway.uploads import UploadSettings

ANYWHERE = Address("127.0.0.1", 0)


@dataclass(frozen=True)
class Site:
    """The ways to a gateway."""

    wires: list[Wire]
    http: aiohttp.ClientSession


@pytest.fixture
async def site(own_nats_server: NatsServer, s3_server: S3Server, tmp_path: Path) -> AsyncIterator[Site]:
    database = Database.open(f"sqlite+aiosqlite:///{tmp_path / 'framewire.db'}")
    gateway_bus = await NatsBus.connect(NatsSettings(url=own_nats_server.url))
    worker_bus = await NatsBus.connect(NatsSettings(url=own_nats_server.url))
    store = S3ObjectStore(s3_server.settings(f"conformance-{secrets.token_hex(6)}"))
    await store.ensure_bucket()
    texts = UploadSettings(kinds=frozenset())  # the runner's inputs are what it is to do, in words
    gateway = Gateway(database=database, bus=gateway_bus, store=store, grpc=ANYWHERE, rest=ANYWHERE, uploads=texts)
    try:
        await gateway.start()
        rig = Rig(worker_bus, store, tmp_path)
        rig.models.sizes[DEFAULT_ENHANCE_MODEL] = 100  # what the scenarios' steps ask for by naming none
        async with rig.worker(slots=2), aiohttp.ClientSession() as http:
            rest = f"http://127.0.0.1:{gateway.rest.port}"
            yield Site(all_wires(http, f"127.0.0.1:{gateway.rpc.port}", rest), http)
    finally:
        await gateway.stop()
        for part in (gateway_bus, worker_bus, store, database):
            await part.close()
