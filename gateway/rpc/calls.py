"""One gRPC call: bytes to the pipeline, its answer or its error back."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable
from typing import Any, NoReturn

import grpc
from google.protobuf.message import DecodeError, Message

from framewire.errors import FramewireError, InvalidRequest
from gateway import errors
from gateway.methods import Method
from gateway.pipeline import REQUEST_ID, Arrival, Parse, Pipeline

_Context = grpc.aio.ServicerContext[bytes, Message]
_DETAILS = "grpc-status-details-bin"


def method_handler(pipeline: Pipeline, method: Method) -> grpc.RpcMethodHandler[bytes, Message]:
    """A handler for grpc. It takes bytes: a request that cannot be parsed is then an error like any other."""
    make: Callable[..., Any]
    serve: Callable[[bytes, _Context], Awaitable[Message | None]]
    if method.streams:
        make, serve = grpc.unary_stream_rpc_method_handler, _stream(pipeline, method)
    else:
        make, serve = grpc.unary_unary_rpc_method_handler, _unary(pipeline, method)
    handler: grpc.RpcMethodHandler[bytes, Message] = make(serve, response_serializer=_serialize)
    return handler


def _unary(pipeline: Pipeline, method: Method) -> Callable[[bytes, _Context], Awaitable[Message]]:
    async def serve(request: bytes, context: _Context) -> Message:
        arrival = await _arrive(context)
        with pipeline.logged(method, arrival):
            try:
                return await pipeline.call(method, _parser(method, request), arrival)
            except FramewireError as error:
                await _abort(context, error, arrival.request_id)

    return serve


def _stream(pipeline: Pipeline, method: Method) -> Callable[[bytes, _Context], Awaitable[None]]:
    async def serve(request: bytes, context: _Context) -> None:
        arrival = await _arrive(context)
        with pipeline.logged(method, arrival):
            try:
                messages = await pipeline.stream(method, _parser(method, request), arrival)
                if messages is not None:
                    async with contextlib.aclosing(messages):
                        async for message in messages:
                            await context.write(message)
            except FramewireError as error:
                await _abort(context, error, arrival.request_id)

    return serve


async def _arrive(context: _Context) -> Arrival:
    pairs = context.invocation_metadata() or ()
    arrival = Arrival.of({key.lower(): value for key, value in pairs if isinstance(value, str)})
    await context.send_initial_metadata(((REQUEST_ID, arrival.request_id),))
    return arrival


def _parser(method: Method, request: bytes) -> Parse:
    def parse() -> Message:
        message = method.request()
        try:
            message.ParseFromString(request)
        except DecodeError:
            raise InvalidRequest(f"these bytes are no {method.request.DESCRIPTOR.full_name}") from None
        return message

    return parse


def _serialize(message: Message) -> bytes:
    return message.SerializeToString()


async def _abort(context: _Context, error: FramewireError, request_id: str) -> NoReturn:
    status = errors.to_status(error, request_id)
    trailers = ((_DETAILS, status.SerializeToString()), (REQUEST_ID, request_id))
    await context.abort(errors.grpc_status(error), status.message, trailers)
    raise AssertionError("abort raises")  # for the type checker: grpc does not say so
