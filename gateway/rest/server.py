"""The REST server: one route for every address the contract annotates."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

from aiohttp import web
from google.protobuf.message import Message

from framewire.errors import ErrorCode, FramewireError, InvalidRequest, LocalError, NotFound, Violation
from gateway import errors
from gateway.addresses import Address
from gateway.methods import public_methods
from gateway.pipeline import REQUEST_ID, Arrival, Parse, Pipeline
from gateway.readiness import Readiness
from gateway.rest.http_log import http_log
from gateway.rest.pages import add_pages
from gateway.rest.routes import Route, routes_of
from gateway.rest.streaming import framing_for, status_json, write_stream
from gateway.rest.transcode import request_message, to_json

_LARGEST_BODY = 1 << 20  # bytes; media never comes this way
_BODY_TIMEOUT = 30.0  # seconds
_LONGEST_NUMBER = 20  # digits of the largest event number
_SHOWN = 200  # characters of what a client sent that come back in an error
_JSON = "application/json"
_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
_ARRIVAL = web.RequestKey("arrival", Arrival)


class RestServer:
    """start, then stop; `port` is the real one from start on."""

    def __init__(self, pipeline: Pipeline, readiness: Readiness, address: Address, *, grace: float) -> None:
        app = web.Application(middlewares=[_errors], client_max_size=_LARGEST_BODY)
        add_pages(app, readiness)
        for method in public_methods():
            for route in routes_of(method):
                app.router.add_route(route.verb, route.path, _serve(pipeline, route))
        # a client that goes away cancels its call: watchers and half-read uploads give back what they hold at once
        self._runner = web.AppRunner(
            app, handler_cancellation=True, shutdown_timeout=grace, access_log=None, logger=http_log()
        )
        self._address = address
        self.port = 0

    async def start(self) -> None:
        """Bind and serve. Raises LocalError (CONFIG_INVALID) when the address cannot be bound."""
        await self._runner.setup()
        site = web.TCPSite(self._runner, self._address.host, self._address.port)
        try:
            await site.start()
        except OSError as error:
            await self._runner.cleanup()
            raise LocalError(f"cannot listen on {self._address} for REST: {error.strerror}") from None
        self.port = int(self._runner.addresses[0][1])

    async def stop(self) -> None:
        """Take no new calls, give those that run the grace, then cut them. Idempotent."""
        await self._runner.cleanup()


@web.middleware
async def _errors(request: web.Request, handler: _Handler) -> web.StreamResponse:
    """Every answer carries the request id; every error is a google.rpc.Status."""
    arrival = Arrival.of({name.lower(): value for name, value in request.headers.items()})
    request[_ARRIVAL] = arrival
    try:
        with errors.only_typed(arrival.request_id):
            response = await _typed(request, handler)
    except FramewireError as error:
        response = _error(error, arrival.request_id)
    if not response.prepared:
        response.headers[REQUEST_ID] = arrival.request_id
    return response


async def _typed(request: web.Request, handler: _Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except web.HTTPRequestEntityTooLarge:
        raise InvalidRequest(f"the body is larger than {_LARGEST_BODY} bytes") from None
    except (web.HTTPNotFound, web.HTTPMethodNotAllowed):
        raise NotFound(f"no {request.method} {request.path[:_SHOWN]}", code=ErrorCode.NOT_FOUND) from None


def _error(error: FramewireError, request_id: str) -> web.Response:
    return web.Response(status=errors.http_status(error), text=status_json(error, request_id), content_type=_JSON)


def _serve(pipeline: Pipeline, route: Route) -> _Handler:
    async def serve(request: web.Request) -> web.StreamResponse:
        arrival = request[_ARRIVAL]
        with pipeline.logged(route.method, arrival):
            parse = await _parser(request, route)
            if not route.method.streams:
                answer = await pipeline.call(route.method, parse, arrival)
                return web.Response(text=to_json(answer), content_type=_JSON)
            messages = await pipeline.stream(route.method, parse, arrival)
            return await _stream(request, messages, arrival.request_id)

    return serve


async def _stream(request: web.Request, messages: AsyncIterator[Message] | None, request_id: str) -> web.StreamResponse:
    if messages is None:
        return web.Response(status=204)  # the one answer after which a browser does not come back
    framing = framing_for(request.headers.get("Accept", ""))
    headers = {"Content-Type": framing.content_type, "Cache-Control": "no-store", REQUEST_ID: request_id}
    response = web.StreamResponse(headers={**headers, "X-Accel-Buffering": "no"})
    await response.prepare(request)
    await write_stream(response, messages, framing, request_id)
    await response.write_eof()
    return response


async def _parser(request: web.Request, route: Route) -> Parse:
    body = await _body(request) if route.body else None
    query = _query(request, route)

    def parse() -> Message:
        return request_message(route.method.request, path=request.match_info, query=query, body=body)

    return parse


async def _body(request: web.Request) -> bytes:
    try:
        async with asyncio.timeout(_BODY_TIMEOUT):
            body = await request.read()
    except web.RequestPayloadError:
        raise InvalidRequest("the body cannot be read: it is cut short or not encoded as its headers say") from None
    except TimeoutError:
        raise InvalidRequest(f"the body did not arrive within {_BODY_TIMEOUT:.0f} seconds") from None
    # anything else could be sent by a page of any site without the browser asking us first
    if body and request.content_type != _JSON:
        raise InvalidRequest(f"the body must be {_JSON}, not {request.content_type}")
    return body


def _query(request: web.Request, route: Route) -> list[tuple[str, str]]:
    """The query's parameters; where a browser says how far it came, that counts, not the address it began with."""
    query = list(request.query.items())
    came_to = request.headers.get("Last-Event-ID") if route.method.streams else None
    if not came_to:
        return query
    if not came_to.isascii() or not came_to.isdigit() or len(came_to) > _LONGEST_NUMBER:
        message = "must be the id of an event"
        raise InvalidRequest(f"Last-Event-ID {message}", violations=[Violation("Last-Event-ID", message)])
    return [(name, value) for name, value in query if name not in {"after_event", "afterEvent"}] + [
        ("after_event", came_to)
    ]
