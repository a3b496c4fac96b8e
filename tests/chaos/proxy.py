"""A TCP proxy between a program and a server, that can make the way between them bad."""

from __future__ import annotations

import asyncio
import contextlib
import enum


class Mood(enum.Enum):
    """What the way is like."""

    GOOD = "good"
    SLOW = "slow"  # a tenth of a second with every piece
    GONE = "gone"  # connections break and new ones are refused
    FULL = "full"  # every HTTP request is answered: 507, no space left


_SLOWNESS = 0.1
_NO_SPACE = (
    b"HTTP/1.1 507 Insufficient Storage\r\nContent-Type: application/xml\r\nConnection: close\r\n\r\n"
    b"<?xml version='1.0'?><Error><Code>InsufficientStorage</Code><Message>no space left</Message></Error>\n"
)


class FaultProxy:
    """Listens on a port of its own. `start`, then `set` its mood at any time, `stop` in the end."""

    def __init__(self, upstream: int) -> None:
        self._upstream = upstream
        self._mood = Mood.GOOD
        self._writers: set[asyncio.StreamWriter] = set()
        self._ways: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self.port = 0

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
        for way in self._ways:
            way.cancel()
        await asyncio.gather(*self._ways, return_exceptions=True)

    def set(self, mood: Mood) -> None:
        self._mood = mood
        if mood in {Mood.GONE, Mood.FULL}:
            self._break_all()

    def _break_all(self) -> None:
        for writer in self._writers:
            writer.transport.abort()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        way = asyncio.create_task(self._serve(reader, writer))
        self._ways.add(way)
        way.add_done_callback(self._ways.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            if self._mood is Mood.FULL:
                await _refuse(reader, writer)
            elif self._mood is not Mood.GONE:
                await self._join(reader, writer)
        except OSError:
            pass  # one side is gone, and so goes the other
        finally:
            writer.transport.abort()
            self._writers.discard(writer)

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream_reader, upstream_writer = await asyncio.open_connection("127.0.0.1", self._upstream)
        self._writers.add(upstream_writer)
        try:
            ways = (self._pass(reader, upstream_writer), self._pass(upstream_reader, writer))
            tasks = [asyncio.create_task(way) for way in ways]
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        finally:
            upstream_writer.transport.abort()
            self._writers.discard(upstream_writer)

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1 << 16):
            if self._mood is Mood.SLOW:
                await asyncio.sleep(_SLOWNESS)
            writer.write(data)
            await writer.drain()


async def _refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(1):
            await reader.readuntil(b"\r\n\r\n")
    writer.write(_NO_SPACE)
    await writer.drain()
