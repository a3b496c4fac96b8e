"""gRPC-Web: the bodies of gRPC over plain HTTP, for browsers, which cannot speak the real one.

    POST /framewire.v1.JobService/WatchJob        application/grpc-web(+proto), application/grpc-web-text(+proto)
    frame = flags (0x80: trailers) | length, 4 bytes | bytes;  in the text form all of it is base64

An answer is always a stream of frames, of one message where the method gives one, and ends with the trailers.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote

from aiohttp import web
from google.protobuf.message import Message

from framewire.errors import ErrorCode, FramewireError, InvalidRequest
from gateway import errors
from gateway.methods import Method
from gateway.pipeline import Arrival, Pipeline
from gateway.rest.streaming import in_chunks, write_stream
from gateway.rpc.calls import parser

CONTENT_TYPES: Mapping[str, bool] = {
    "application/grpc-web": False,
    "application/grpc-web+proto": False,
    "application/grpc-web-text": True,
    "application/grpc-web-text+proto": True,
}
"""Content type -> whether it is text."""
_COMPRESSED, _TRAILERS = 0x01, 0x80
_HEAD = 5  # bytes before a frame's own
_PIECE = re.compile(rb"[^=]+={0,2}")


@dataclass(frozen=True, slots=True)
class Frames:
    """gRPC-Web's framing, in the form the client asked for."""

    content_type: str
    begin: bytes = b""
    heartbeat: bytes = b""  # there is none: every frame is a message or the end

    def message(self, message: Message) -> bytes:
        """A data frame."""
        return self._frame(0, message.SerializeToString())

    def end(self, error: FramewireError | None, request_id: str) -> bytes:
        """The trailers, with the status."""
        return self._frame(_TRAILERS, trailers(error, request_id))

    def _frame(self, flags: int, data: bytes) -> bytes:
        frame = bytes([flags]) + len(data).to_bytes(4, "big") + data
        return base64.b64encode(frame) if CONTENT_TYPES[self.content_type] else frame


def trailers(error: FramewireError | None, request_id: str) -> bytes:
    """The status as lines of an HTTP/1 header block, names in small letters."""
    if error is None:
        return b"grpc-status: 0\r\n"
    status = errors.to_status(error, request_id)
    details = base64.b64encode(status.SerializeToString()).decode().rstrip("=")
    # the message is percent-encoded, as gRPC wants it: what is not printable ASCII, and the percent sign
    words = quote(status.message, safe=" !\"#$&'()*+,-./:;<=>?@[\\]^_`{|}~")
    return f"grpc-status: {status.code}\r\ngrpc-message: {words}\r\ngrpc-status-details-bin: {details}\r\n".encode()


def message_of(body: bytes, content_type: str) -> bytes:
    """The one message of a request's body. Raises InvalidRequest."""
    if CONTENT_TYPES[content_type]:
        body = _decoded(body)
    if len(body) < _HEAD or len(body) != _HEAD + int.from_bytes(body[1:_HEAD], "big"):
        raise InvalidRequest("the body is not one gRPC-Web frame")
    if body[0] & _COMPRESSED:
        raise FramewireError("compressed messages are not taken", code=ErrorCode.UNIMPLEMENTED)
    if body[0]:
        raise InvalidRequest("the frame holds no message")
    return body[_HEAD:]


async def answer(
    request: web.Request, pipeline: Pipeline, method: Method, body: bytes, arrival: Arrival
) -> web.StreamResponse:
    """Serve a call. Its errors are in the trailers: the HTTP status is always 200."""
    frames = Frames(content_type=request.content_type)
    try:
        parse = parser(method, message_of(body, frames.content_type))
        if not method.streams:
            return _whole(frames, await pipeline.call(method, parse, arrival))
        messages = await pipeline.stream(method, parse, arrival)
    except FramewireError as error:
        return _refusal(frames, error, arrival.request_id)
    if messages is None:
        return _whole(frames, None)
    headers = {"Content-Type": frames.content_type, "X-Accel-Buffering": "no"}
    stream = in_chunks(request, web.StreamResponse(headers=headers))
    await stream.prepare(request)
    await write_stream(request, stream, messages, frames, arrival)
    await stream.write_eof()
    return stream


def _whole(frames: Frames, message: Message | None) -> web.Response:
    data = b"" if message is None else frames.message(message)
    return web.Response(body=data + frames.end(None, ""), content_type=frames.content_type)


def _refusal(frames: Frames, error: FramewireError, request_id: str) -> web.Response:
    """One piece, with the status in the headers too: nobody has to read a body for it."""
    response = web.Response(body=frames.end(error, request_id), content_type=frames.content_type)
    response.headers["grpc-status"] = str(errors.grpc_status(error).value[0])
    response.headers["grpc-message"] = quote(error.message)
    return response


def _decoded(text: bytes) -> bytes:
    """Base64 that may be padded in the middle: a client encodes piece by piece."""
    try:
        return b"".join(base64.b64decode(piece, validate=True) for piece in _PIECE.findall(text))
    except binascii.Error:
        raise InvalidRequest("the body is not base64") from None
