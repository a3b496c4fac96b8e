"""Ports are chosen so that they stay free; probes say yes only to the right server."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator

import pytest

from framewire.errors import LocalError
from framewire.stack.ports import PortChooser, is_free
from framewire.stack.probes import GrpcHealthProbe, HttpProbe, NatsProbe


@contextlib.asynccontextmanager
async def server(says: bytes) -> AsyncIterator[int]:
    """A server that greets and hangs up; gives its port."""

    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(says)
        writer.close()

    listening = await asyncio.start_server(greet, "127.0.0.1", 0)
    async with listening:
        yield listening.sockets[0].getsockname()[1]


def test_a_chosen_port_lies_below_the_ephemeral_range_and_is_chosen_once() -> None:
    chooser = PortChooser()
    ports = [chooser.choose(None) for _ in range(20)]
    assert len(set(ports)) == 20
    assert all(10_000 <= port < 61_000 for port in ports)


def test_a_port_that_was_asked_for_and_is_taken_is_refused() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert not is_free(port)
        with pytest.raises(LocalError, match=f"port {port} is taken"):
            PortChooser().choose(port)


def test_a_preferred_port_that_is_taken_is_replaced() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert PortChooser().choose(None, preferred=port) != port


@pytest.mark.parametrize(
    ("says", "ready"),
    [
        (b"HTTP/1.0 200 OK\r\n\r\n", True),
        (b"HTTP/1.0 503 Service Unavailable\r\n\r\n", False),
        (b"200 200 OK\r\n", False),
        (b"", False),
    ],
)
async def test_nats_is_ready_when_its_health_check_says_so(says: bytes, ready: bool) -> None:
    async with server(says) as port:
        assert await NatsProbe(port=port).ready() is ready


@pytest.mark.parametrize(("says", "ready"), [(b"HTTP/1.1 403 Forbidden\r\n\r\n", True), (b"220 smtp\r\n", False)])
async def test_an_http_server_is_ready_when_it_answers_anything(says: bytes, ready: bool) -> None:
    async with server(says) as port:
        assert await HttpProbe(port=port).ready() is ready


async def test_no_probe_says_yes_when_nobody_listens() -> None:
    port = PortChooser().choose(None)
    assert [await probe(port=port).ready() for probe in (NatsProbe, HttpProbe, GrpcHealthProbe)] == [False] * 3
