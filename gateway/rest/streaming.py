"""Streams over HTTP: server-sent events for browsers, lines of JSON for everybody else, frames for gRPC-Web.

The number of an event is its SSE id, so that a browser that comes back says by itself where it was.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Protocol, Self, cast

from aiohttp import HttpVersion11, web
from google.api.httpbody_pb2 import HttpBody
from google.protobuf import json_format
from google.protobuf.message import Message

from framewire.errors import ErrorCode, FramewireError, Unavailable
from framewire.v1.job_pb2 import Event
from gateway import errors
from gateway.pipeline import Arrival
from gateway.rest.accept import accepts
from gateway.rest.transcode import to_json
from gateway.shared import Messages, Offer, Pushing, Shared

HEARTBEAT = 15.0  # seconds of silence after which a sign of life is sent
STALLED = 60.0  # seconds a receiver may take nothing before its connection is cut
_BEHIND = 1 << 15  # bytes a connection has not taken yet above which it is written to by its own task, which can wait
RECONNECT = 1000  # milliseconds a browser waits before it comes back


class Framing(Protocol):
    """How messages stand in the body."""

    @property
    def content_type(self) -> str:
        """Of the whole stream; the name of the wire, too."""

    @property
    def begin(self) -> bytes:
        """What stands before everything."""

    @property
    def heartbeat(self) -> bytes:
        """A sign of life that means nothing; empty where there is none."""

    def message(self, message: Message) -> bytes:
        """One message."""

    def end(self, error: FramewireError | None, request_id: str) -> bytes:
        """What stands behind everything: the error that ended the stream after it had begun, if one did."""


@dataclass(frozen=True, slots=True)
class ServerSentEvents:
    """`id` is the event's number, `event` its kind, `data` the event."""

    content_type: str = "text/event-stream"
    begin: bytes = f"retry: {RECONNECT}\n\n".encode()
    heartbeat: bytes = b": still here\n\n"

    def message(self, message: Message) -> bytes:
        """`id: 7`, `event: progress`, `data: {...}`."""
        head = ""
        if isinstance(message, Event):
            head = f"id: {message.number}\nevent: {message.WhichOneof('kind')}\n"
        return f"{head}data: {to_json(message)}\n\n".encode()

    def end(self, error: FramewireError | None, request_id: str) -> bytes:
        """`event: error` with the status; it has no id, so that the browser comes back to where it was."""
        return f"event: error\ndata: {status_json(error, request_id)}\n\n".encode() if error else b""


@dataclass(frozen=True, slots=True)
class JsonLines:
    """One message a line. An empty line is a sign of life; the last line may be `{"error": {...}}`."""

    content_type: str = "application/x-ndjson"
    begin: bytes = b""
    heartbeat: bytes = b"\n"

    def message(self, message: Message) -> bytes:
        """The message."""
        return f"{to_json(message)}\n".encode()

    def end(self, error: FramewireError | None, request_id: str) -> bytes:
        """The status."""
        return f'{{"error":{status_json(error, request_id)}}}\n'.encode() if error else b""


@dataclass(frozen=True, slots=True)
class RawBytes:
    """A stream of google.api.HttpBody: the bytes of one after the other, under the first one's content type."""

    content_type: str
    begin: bytes = b""
    heartbeat: bytes = b""

    def message(self, message: Message) -> bytes:
        """Its data."""
        return bytes(cast("HttpBody", message).data)

    def end(self, error: FramewireError | None, request_id: str) -> bytes:
        """Nothing can be said any more: the connection is cut, which is the one sign a client cannot miss."""
        if error:
            raise error
        return b""


_EVENTS, _LINES = ServerSentEvents(), JsonLines()


def framing_for(accept: str) -> Framing:
    """What the client's Accept header asks for: events where it names them, lines otherwise."""
    return _EVENTS if accepts(accept, _EVENTS.content_type) else _LINES


def status_json(error: FramewireError, request_id: str) -> str:
    """google.rpc.Status as JSON."""
    status = json_format.MessageToDict(errors.to_status(error, request_id))
    return json.dumps(status, ensure_ascii=False, separators=(",", ":"))


def in_chunks(request: web.BaseRequest, response: web.StreamResponse) -> web.StreamResponse:
    """The response, said to be in chunks wherever the client knows what that is."""
    if request.version == HttpVersion11:
        response.enable_chunked_encoding()
    return response


async def write_stream(
    request: web.BaseRequest,
    response: web.StreamResponse,
    messages: Messages,
    framing: Framing,
    arrival: Arrival,
) -> None:
    """Write every message, signs of life in between, and the error that ends it if one does. Closes `messages`.

    The response is prepared and in chunks, unless the client speaks HTTP/1.0.
    """
    wire, encode = framing.content_type, framing.message
    ended: FramewireError | None = None
    with Pulse(request, response, framing.heartbeat) as pulse:
        try:
            async with asyncio.timeout(arrival.timeout), contextlib.aclosing(messages):
                async for message in messages:
                    await pulse.write(message.encoded(wire, encode))
                    if response.chunked and isinstance(messages, Pushing):
                        await messages.pushed(pulse.offer(framing))
        except TimeoutError:
            ended = Unavailable(f"asked for {arrival.timeout:g} s only", code=ErrorCode.DEADLINE_EXCEEDED)
        except FramewireError as error:
            ended = error
        if last := framing.end(ended, arrival.request_id):
            await pulse.write(last)


class Pulse:
    """Writes to one receiver; beats while there is nothing to say, and cuts a connection that takes nothing.

    One timer a stream, which looks at what happened since: a timer for every message would cost more than the message.
    """

    __slots__ = ("_beat", "_beating", "_loop", "_response", "_since", "_timer", "_transport", "_writing")

    def __init__(self, request: web.BaseRequest, response: web.StreamResponse, beat: bytes) -> None:
        self._transport = request.transport
        self._response = response
        self._beat = beat
        self._loop = asyncio.get_running_loop()
        self._since = self._loop.time()
        self._writing = False
        self._beating: asyncio.Task[None] | None = None

    def __enter__(self) -> Self:
        self._timer = self._loop.call_later(HEARTBEAT, self._look)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._timer.cancel()
        if self._beating is not None:
            self._beating.cancel()

    def offer(self, framing: Framing) -> Offer:
        """Writes without waiting, past the response, whose chunk is encoded once for all; refuses when that is not
        possible at this moment.
        """
        wire, encode, loop, transport = (
            f"{framing.content_type} in chunks",
            framing.message,
            self._loop,
            self._transport,
        )

        def take(message: Shared[Any]) -> bool:
            if transport is None or transport.is_closing() or transport.get_write_buffer_size() > _BEHIND:
                return False
            transport.write(message.encoded(wire, lambda bare: _chunk(encode(bare))))
            self._since = loop.time()
            return True

        return take

    async def write(self, data: bytes) -> None:
        """Returns when the connection's buffer has room again."""
        self._writing, self._since = True, self._loop.time()
        await self._response.write(data)
        self._writing = False

    def _look(self) -> None:
        silent = self._loop.time() - self._since
        busy = self._writing or (self._beating is not None and not self._beating.done())
        if busy and silent >= STALLED:
            self._cut()
            return
        if not busy and silent >= HEARTBEAT:
            self._since, silent = self._loop.time(), 0.0
            if self._beat:
                self._beating = self._loop.create_task(self._send_beat())
        self._timer = self._loop.call_later(max(HEARTBEAT - silent, HEARTBEAT / 10), self._look)

    async def _send_beat(self) -> None:
        with contextlib.suppress(ConnectionError):
            await self._response.write(self._beat)

    def _cut(self) -> None:
        if self._transport is not None:
            self._transport.abort()


def _chunk(data: bytes) -> bytes:
    """As HTTP/1.1 transfers it."""
    return b"%x\r\n%b\r\n" % (len(data), data)
