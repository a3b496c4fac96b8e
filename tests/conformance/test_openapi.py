"""A property-based tester sends the live server what its OpenAPI document allows and forbids, and finds nothing."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from framewire.testing.bus import MemoryBus
from framewire.testing.database import memory_database
from framewire.testing.storage import MemoryObjectStore
from gateway.addresses import Address
from gateway.app import Gateway

PROGRAM = Path(sys.executable).with_name("schemathesis")
CONFIG = Path(__file__).with_name("schemathesis.toml")
EXAMPLES = os.environ.get("FRAMEWIRE_CONFORMANCE_EXAMPLES", "5")
BOUND = 60 if EXAMPLES == "5" else 3600


@pytest.fixture
async def address() -> AsyncIterator[str]:
    anywhere = Address("127.0.0.1", 0)
    async with memory_database() as database:
        gateway = Gateway(database=database, bus=MemoryBus(), store=MemoryObjectStore(), grpc=anywhere, rest=anywhere)
        await gateway.start()
        yield f"http://127.0.0.1:{gateway.rest.port}"
        await gateway.stop()


@pytest.mark.timeout(BOUND + 30)
async def test_the_server_does_what_its_document_says(address: str, tmp_path: Path) -> None:
    argv = [
        str(PROGRAM), "--config-file", str(CONFIG), "run", f"{address}/openapi.json",
        "--phases", "examples,coverage,fuzzing", "--max-examples", EXAMPLES, "--seed", "1",
        "--request-timeout", "10", "--generation-database", "none", "--no-color",
        "-H", "grpc-timeout: 2S",  # a watched job may not end
    ]  # fmt: skip
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*argv, stdout=pipe, stderr=asyncio.subprocess.STDOUT, cwd=tmp_path)
    try:
        async with asyncio.timeout(BOUND):
            said, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, said.decode()[-8000:]
