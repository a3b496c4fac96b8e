"""A server for the contract of shapes.py; its methods answer with their request."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from google.api.httpbody_pb2 import HttpBody
from google.protobuf.message import Message
from yarl import URL

sys.path.insert(0, str(Path(__file__).parent))  # helpers beside this file

import shapes

from gateway.addresses import Address
from gateway.pipeline import Call, Pipeline
from gateway.readiness import Readiness
from gateway.rest.server import RestServer


@dataclass
class Server:
    """The server, and a client of it."""

    rest: RestServer
    http: aiohttp.ClientSession

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.rest.port}{path}"

    async def call(self, verb: str, path: str, **options: Any) -> tuple[int, Any]:
        """Status and JSON."""
        address = URL(self.url(path), encoded=True)
        async with self.http.request(verb, address, **options) as answer:
            return answer.status, await answer.json()


async def echo(call: Call, request: Message) -> Message:
    return request


async def blob(call: Call, request: Any) -> HttpBody:
    return request.blob


async def pieces(call: Call, request: Any) -> AsyncGenerator[HttpBody, None]:
    async def read() -> AsyncGenerator[HttpBody, None]:
        for text in request.name.split("-"):
            yield HttpBody(content_type="text/plain", data=text.encode())

    return read()


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    unary = {f"shapes.v1.Shapes/{name}": echo for name in ("Get", "Files", "Inner", "Raw")}
    pipeline = Pipeline(unary={**unary, "shapes.v1.Shapes/Upload": blob}, streams={"shapes.v1.Shapes/Pieces": pieces})
    readiness = Readiness({}, asyncio.Event())
    rest = RestServer(pipeline, readiness, Address("127.0.0.1", 0), grace=1.0, methods=shapes.methods())
    await rest.start()
    async with aiohttp.ClientSession() as http:
        yield Server(rest, http)
    await rest.stop()
