"""One gRPC call: bytes to the pipeline, its answer or its error back."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, NoReturn, Self
from urllib.parse import unquote

import grpc
from google.protobuf.message import DecodeError, Message

from framewire.errors import FramewireError, InvalidRequest
from gateway import errors
from gateway.methods import Method
from gateway.pipeline import REQUEST_ID, Arrival, Parse, Pipeline

_Context = grpc.aio.ServicerContext[bytes, bytes]
_WIRE = "grpc"
_DETAILS = "grpc-status-details-bin"
STALLED = 60.0  # seconds a receiver may take nothing before its stream is cut
log = logging.getLogger(__name__)


def method_handler(pipeline: Pipeline, method: Method) -> grpc.RpcMethodHandler[bytes, bytes]:
    """A handler for grpc. It takes bytes: a request that cannot be parsed is then an error like any other."""
    make: Callable[..., Any]
    serve: Callable[[Any, _Context], Awaitable[bytes | None]]
    if method.takes_stream:
        make, serve = grpc.stream_unary_rpc_method_handler, _intake(pipeline, method)
    elif method.streams:
        make, serve = grpc.unary_stream_rpc_method_handler, _stream(pipeline, method)
    else:
        make, serve = grpc.unary_unary_rpc_method_handler, _unary(pipeline, method)
    handler: grpc.RpcMethodHandler[bytes, bytes] = make(serve)
    return handler


def parser(method: Method, request: bytes) -> Parse:
    """How the bytes of a request become its message."""

    def parse() -> Message:
        message = method.request()
        try:
            message.ParseFromString(request)
        except DecodeError:
            raise InvalidRequest(f"these bytes are no {method.request.DESCRIPTOR.full_name}") from None
        return message

    return parse


@functools.lru_cache(maxsize=4096)  # one peer is one connection
def address_of(peer: str) -> str:
    """The address in what grpc calls a peer: `ipv4:127.0.0.1:5`, `ipv6:%5B::1%5D:5`; empty for anything else."""
    scheme, _, rest = unquote(peer).partition(":")
    return rest.rpartition(":")[0].strip("[]") if scheme in {"ipv4", "ipv6"} else ""


def _unary(pipeline: Pipeline, method: Method) -> Callable[[bytes, _Context], Awaitable[bytes]]:
    async def serve(request: bytes, context: _Context) -> bytes:
        arrival = _arrive(pipeline, context)
        if REQUEST_ID in arrival.metadata:  # with the answer: headers of their own would cost as much as the answer
            context.set_trailing_metadata(((REQUEST_ID, arrival.request_id),))
        with pipeline.logged(method, arrival):
            try:
                return _serialize(await pipeline.call(method, parser(method, request), arrival))
            except FramewireError as error:
                await _abort(context, error, arrival.request_id)

    return serve


def _stream(pipeline: Pipeline, method: Method) -> Callable[[bytes, _Context], Awaitable[None]]:
    async def serve(request: bytes, context: _Context) -> None:
        arrival = _arrive(pipeline, context)
        await context.send_initial_metadata(((REQUEST_ID, arrival.request_id),))
        with pipeline.logged(method, arrival):
            try:
                messages = await pipeline.stream(method, parser(method, request), arrival)
                if messages is not None:
                    async with contextlib.aclosing(messages):
                        with _Receiver() as receiver:
                            async for message in messages:
                                receiver.given += 1
                                await context.write(message.encoded(_WIRE, _serialize))
                                receiver.taken += 1
            except FramewireError as error:
                await _abort(context, error, arrival.request_id)

    return serve


def _intake(pipeline: Pipeline, method: Method) -> Callable[[AsyncIterator[bytes], _Context], Awaitable[bytes]]:
    async def serve(requests: AsyncIterator[bytes], context: _Context) -> bytes:
        arrival = _arrive(pipeline, context)
        await context.send_initial_metadata(((REQUEST_ID, arrival.request_id),))
        parsed = (parser(method, request) async for request in requests)
        with pipeline.logged(method, arrival):
            try:
                return _serialize(await pipeline.intake(method, parsed, arrival))
            except FramewireError as error:
                await _abort(context, error, arrival.request_id)

    return serve


def _arrive(pipeline: Pipeline, context: _Context) -> Arrival:
    pairs = context.invocation_metadata() or ()
    # grpc ends a call whose deadline has passed by itself; the pipeline only has to know of it
    return pipeline.arrive(
        {key: value for key, value in pairs if isinstance(value, str)},  # grpc has made the names lower-case
        peer=address_of(context.peer()),
        timeout=context.time_remaining(),
    )


class _Receiver:
    """Cuts a stream whose receiver takes nothing for STALLED seconds, so that it does not keep its place for ever.

    One timer a stream, which looks at what happened since: a timer for every message would cost more than the message.
    Nothing can be said to such a receiver any more. grpc ends the call when its handler is cancelled.
    """

    __slots__ = ("_before", "_task", "_timer", "given", "taken")

    def __init__(self) -> None:
        self.given = self.taken = 0
        """Messages."""
        self._before = -1  # taken when it was last seen busy
        self._task = asyncio.current_task()

    def __enter__(self) -> Self:
        self._wait()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()

    def _wait(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(STALLED / 2, self._look)

    def _look(self) -> None:
        if self.given > self.taken == self._before and self._task is not None:
            log.info("a stream's receiver has taken nothing for %.0f s: cut", STALLED)
            self._task.cancel()
            return
        self._before = self.taken if self.given > self.taken else -1
        self._wait()


def _serialize(message: Message) -> bytes:
    return message.SerializeToString()


async def _abort(context: _Context, error: FramewireError, request_id: str) -> NoReturn:
    status = errors.to_status(error, request_id)
    trailers = ((_DETAILS, status.SerializeToString()), (REQUEST_ID, request_id))
    await context.abort(errors.grpc_status(error), status.message, trailers)
    raise AssertionError("abort raises")  # for the type checker: grpc does not say so
