"""One gRPC call: bytes to the pipeline, its answer or its error back."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, NoReturn
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
        arrival = _arrive(context)
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
        arrival = _arrive(context)
        await context.send_initial_metadata(((REQUEST_ID, arrival.request_id),))
        with pipeline.logged(method, arrival):
            try:
                messages = await pipeline.stream(method, parser(method, request), arrival)
                if messages is not None:
                    async with contextlib.aclosing(messages):
                        async for message in messages:
                            await context.write(message.encoded(_WIRE, _serialize))
            except FramewireError as error:
                await _abort(context, error, arrival.request_id)

    return serve


def _intake(pipeline: Pipeline, method: Method) -> Callable[[AsyncIterator[bytes], _Context], Awaitable[bytes]]:
    async def serve(requests: AsyncIterator[bytes], context: _Context) -> bytes:
        arrival = _arrive(context)
        await context.send_initial_metadata(((REQUEST_ID, arrival.request_id),))
        parsed = (parser(method, request) async for request in requests)
        with pipeline.logged(method, arrival):
            try:
                return _serialize(await pipeline.intake(method, parsed, arrival))
            except FramewireError as error:
                await _abort(context, error, arrival.request_id)

    return serve


def _arrive(context: _Context) -> Arrival:
    pairs = context.invocation_metadata() or ()
    # grpc ends a call whose deadline has passed by itself; the pipeline only has to know of it
    return Arrival.of(
        {key: value for key, value in pairs if isinstance(value, str)},  # grpc has made the names lower-case
        peer=address_of(context.peer()),
        timeout=context.time_remaining(),
    )


def _serialize(message: Message) -> bytes:
    return message.SerializeToString()


async def _abort(context: _Context, error: FramewireError, request_id: str) -> NoReturn:
    status = errors.to_status(error, request_id)
    trailers = ((_DETAILS, status.SerializeToString()), (REQUEST_ID, request_id))
    await context.abort(errors.grpc_status(error), status.message, trailers)
    raise AssertionError("abort raises")  # for the type checker: grpc does not say so
