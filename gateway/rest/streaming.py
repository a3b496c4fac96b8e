"""Streams over HTTP: server-sent events for browsers, lines of JSON for everybody else.

The number of an event is its SSE id, so that a browser that comes back says by itself where it was.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass
from typing import Protocol, TypeVar

from aiohttp import web
from google.protobuf import json_format
from google.protobuf.message import Message

from framewire.errors import FramewireError
from framewire.lifecycle import end
from framewire.v1.job_pb2 import Event
from gateway import errors
from gateway.rest.transcode import to_json

HEARTBEAT = 15.0  # seconds of silence after which a sign of life is sent
_Item = TypeVar("_Item")


class Framing(Protocol):
    """How messages stand in the body."""

    @property
    def content_type(self) -> str:
        """Of the whole stream."""

    @property
    def heartbeat(self) -> bytes:
        """A sign of life that means nothing."""

    def message(self, message: Message) -> bytes:
        """One message."""

    def error(self, error: FramewireError, request_id: str) -> bytes:
        """The error that ended the stream after it had begun."""


@dataclass(frozen=True, slots=True)
class ServerSentEvents:
    """`id` is the event's number, `event` its kind, `data` the event."""

    content_type: str = "text/event-stream"
    heartbeat: bytes = b": still here\n\n"

    def message(self, message: Message) -> bytes:
        """`id: 7`, `event: progress`, `data: {...}`."""
        head = ""
        if isinstance(message, Event):
            head = f"id: {message.number}\nevent: {message.WhichOneof('kind')}\n"
        return f"{head}data: {to_json(message)}\n\n".encode()

    def error(self, error: FramewireError, request_id: str) -> bytes:
        """`event: error` with the status; it has no id, so that the browser comes back to where it was."""
        return f"event: error\ndata: {status_json(error, request_id)}\n\n".encode()


@dataclass(frozen=True, slots=True)
class JsonLines:
    """One message a line. An empty line is a sign of life; the last line may be `{"error": {...}}`."""

    content_type: str = "application/x-ndjson"
    heartbeat: bytes = b"\n"

    def message(self, message: Message) -> bytes:
        """The message."""
        return f"{to_json(message)}\n".encode()

    def error(self, error: FramewireError, request_id: str) -> bytes:
        """The status."""
        return f'{{"error":{status_json(error, request_id)}}}\n'.encode()


def framing_for(accept: str) -> Framing:
    """What the client's Accept header asks for."""
    return ServerSentEvents() if "text/event-stream" in accept else JsonLines()


def status_json(error: FramewireError, request_id: str) -> str:
    """google.rpc.Status as JSON."""
    status = json_format.MessageToDict(errors.to_status(error, request_id))
    return json.dumps(status, ensure_ascii=False, separators=(",", ":"))


async def write_stream(
    response: web.StreamResponse, messages: AsyncIterator[Message], framing: Framing, request_id: str
) -> None:
    """Write every message, signs of life in between, and the error that ends it if one does. Closes `messages`."""
    try:
        async with contextlib.aclosing(with_heartbeats(messages, HEARTBEAT)) as beating:
            async for message in beating:
                await response.write(framing.heartbeat if message is None else framing.message(message))
    except FramewireError as error:
        await response.write(framing.error(error, request_id))


async def with_heartbeats(source: AsyncIterator[_Item], every: float) -> AsyncGenerator[_Item | None, None]:
    """What `source` gives, and None whenever it gave nothing for `every` seconds. Closes `source`."""
    coming: asyncio.Future[_Item] | None = None
    try:
        while True:
            coming = coming or asyncio.ensure_future(anext(source))
            await asyncio.wait({coming}, timeout=every)
            if not coming.done():
                yield None
                continue
            done, coming = coming, None
            try:
                item = done.result()
            except StopAsyncIteration:
                return
            yield item
    finally:
        if coming is not None:
            await end(coming)
        if close := getattr(source, "aclose", None):
            await close()
