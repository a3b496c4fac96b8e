"""The HTTP server: REST on every address the contract annotates, gRPC-Web on every method, and a few pages."""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import AsyncGenerator, Iterable
from typing import Any

from aiohttp import web
from google.api.httpbody_pb2 import HttpBody
from google.protobuf.message import Message

from framewire.errors import ErrorCode, FramewireError, InvalidRequest, LocalError, NotFound, Violation
from gateway import errors
from gateway.addresses import Address
from gateway.methods import Method, public_methods
from gateway.pipeline import REQUEST_ID, Arrival, Parse, Pipeline
from gateway.proxies import metadata_of
from gateway.readiness import Readiness
from gateway.rest import grpc_web
from gateway.rest.answers import JSON, Resources, answer
from gateway.rest.connections import CappedSite
from gateway.rest.deadline import timeout_of
from gateway.rest.http_log import http_log
from gateway.rest.origins import Origins
from gateway.rest.pages import Pages
from gateway.rest.routes import Match, RouteTable, routes_of
from gateway.rest.settings import HttpSettings
from gateway.rest.streaming import Framing, RawBytes, framing_for, in_chunks, status_json, write_stream
from gateway.rest.transcode import HTTP_BODY, fill_mask, request_message
from gateway.rest.tus import Tus
from gateway.shared import Messages, Shared

_LONGEST_NUMBER = 20  # digits of the largest event number
_SHOWN = 200  # characters of what a client sent that come back in an error
_LONGEST_LINE = 8190  # bytes of the request line and of one header
_ARRIVAL = web.RequestKey("arrival", Arrival)


class RestServer:
    """start, then stop; `port` is the real one from start on."""

    def __init__(
        self,
        pipeline: Pipeline,
        readiness: Readiness,
        address: Address,
        *,
        grace: float,
        settings: HttpSettings | None = None,
        methods: Iterable[Method] | None = None,
        tus: Tus | None = None,
    ) -> None:
        self._settings = settings or HttpSettings()
        self._pipeline = pipeline
        self._origins = Origins(self._settings)
        self._tus = tus
        methods = list(public_methods() if methods is None else methods)
        routes = [route for method in methods for route in routes_of(method)]
        self._table = RouteTable(routes)
        self._resources = Resources(routes)
        self._methods = {f"/{method.full_name}": method for method in methods if not method.takes_stream}
        self._pages = Pages(readiness, routes)
        app = web.Application(client_max_size=self._settings.largest_body)
        app.router.add_route("*", r"/{path:[\s\S]*}", self._serve)  # a dot would leave out addresses with a line feed
        app.on_response_prepare.append(self._sign)
        # a client that goes away cancels its call: watchers and half-read uploads give back what they hold at once
        self._runner = web.AppRunner(
            app,
            handler_cancellation=True,
            shutdown_timeout=grace,
            access_log=None,
            logger=http_log(),
            keepalive_timeout=self._settings.idle_timeout,
            max_line_size=_LONGEST_LINE,
            max_field_size=_LONGEST_LINE,
        )
        self._address = address
        self.port = 0

    async def start(self) -> None:
        """Bind and serve. Raises LocalError (CONFIG_INVALID) when the address cannot be bound."""
        await self._runner.setup()
        site = CappedSite(self._runner, self._address.host, self._address.port, most=self._settings.connections)
        try:
            await site.start()
        except OSError as error:
            await self._runner.cleanup()
            raise LocalError(f"cannot listen on {self._address} for REST: {error.strerror}") from None
        self.port = int(self._runner.addresses[0][1])

    async def stop(self) -> None:
        """Take no new calls, give those that run the grace, then cut them. Idempotent."""
        await self._runner.cleanup()

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        """Every answer carries the request id; every error is a google.rpc.Status."""
        metadata = metadata_of((name.lower(), value) for name, value in request.headers.items())
        request[_ARRIVAL] = arrival = self._pipeline.arrive(metadata, peer=request.remote or "")
        try:
            with errors.only_typed(arrival.request_id):
                return await self._route(request, arrival)
        except FramewireError as error:
            return _error(error, arrival.request_id)

    async def _sign(self, request: web.Request, response: web.StreamResponse) -> None:
        """What stands on every answer, streams too."""
        for name, value in self._origins.headers(request).items():
            known = response.headers.get(name)
            response.headers[name] = f"{known}, {value}" if known else value
        if arrival := request.get(_ARRIVAL):
            response.headers.update(arrival.headers)
            response.headers[REQUEST_ID] = arrival.request_id

    async def _route(self, request: web.Request, arrival: Arrival) -> web.StreamResponse:
        self._origins.check_host(request)
        self._origins.check_page(request)
        if (preflight := self._origins.preflight(request)) is not None:
            return preflight
        raw_path = request.rel_url.raw_path
        if page := self._pages.find(request.method, raw_path):
            return await page(request)
        if self._tus is not None and self._tus.serves(raw_path):
            return await self._tus.serve(request, arrival)
        if (method := self._methods.get(raw_path)) and request.content_type in grpc_web.CONTENT_TYPES:
            return await self._grpc_web(request, method, arrival)
        found = self._find(request.method, raw_path)
        if found is None:
            return self._unknown(request, raw_path)
        with self._pipeline.logged(found.route.method, arrival):
            return await self._rest(request, found, _with_deadline(request, arrival))

    def _find(self, verb: str, raw_path: str) -> Match | None:
        """HEAD is GET without the body, where the answer is one."""
        try:
            found = self._table.find("GET" if verb == "HEAD" else verb, raw_path)
        except ValueError:
            raise InvalidRequest("the address is not UTF-8") from None
        return None if found and verb == "HEAD" and found.route.method.streams else found

    def _unknown(self, request: web.Request, raw_path: str) -> web.Response:
        verbs = self._pages.verbs(raw_path) or self._table.verbs(raw_path)
        verbs = verbs or (["POST"] if raw_path in self._methods else [])
        if not verbs:
            raise NotFound(f"no {request.method} {raw_path[:_SHOWN]}", code=ErrorCode.NOT_FOUND)
        allowed = ", ".join([*verbs, "OPTIONS"])
        if request.method == "OPTIONS":
            return web.Response(status=204, headers={"Allow": allowed})
        words = f"{raw_path[:_SHOWN]} takes {allowed}, not {request.method}"
        error = FramewireError(words, code=ErrorCode.METHOD_NOT_ALLOWED)
        response = _error(error, request[_ARRIVAL].request_id)
        response.headers["Allow"] = allowed
        return response

    async def _grpc_web(self, request: web.Request, method: Method, arrival: Arrival) -> web.StreamResponse:
        if request.method != "POST":
            raise FramewireError("gRPC-Web calls are POST", code=ErrorCode.METHOD_NOT_ALLOWED)
        arrival = _with_deadline(request, arrival)
        with self._pipeline.logged(method, arrival):
            return await grpc_web.answer(request, self._pipeline, method, await self._body(request), arrival)

    async def _rest(self, request: web.Request, found: Match, arrival: Arrival) -> web.StreamResponse:
        route = found.route
        parse = await self._parser(request, found)
        if not route.method.streams:
            return answer(request, route, await self._pipeline.call(route.method, parse, arrival), self._resources)
        messages = await self._pipeline.stream(route.method, parse, arrival)
        return await _stream(request, messages, arrival, raw=route.method.response is HttpBody)

    async def _parser(self, request: web.Request, found: Match) -> Parse:
        route = found.route
        body = await self._body(request) if route.body else None
        if body and not _takes_bytes(found):
            _check_type(request)
        query = list(request.query.items())

        def parse() -> Message:
            message = request_message(
                route.method.request,
                path=found.variables,
                query=query,
                body=body,
                body_field=route.body,
                content_type=request.content_type,
            )
            if request.method == "PATCH" and body and route.body not in {"", "*"}:
                fill_mask(message, route.body, body)
            _set_key(request, message)
            _set_place(request, route.method, message)
            return message

        return parse

    async def _body(self, request: web.Request) -> bytes:
        try:
            async with asyncio.timeout(self._settings.body_timeout):
                return await request.read()
        except web.HTTPRequestEntityTooLarge:
            raise InvalidRequest(f"the body is larger than {self._settings.largest_body} bytes") from None
        except web.RequestPayloadError:
            raise InvalidRequest("the body cannot be read: it is cut short or not encoded as its headers say") from None
        except TimeoutError:
            raise InvalidRequest(f"the body did not arrive within {self._settings.body_timeout:g} seconds") from None


def _error(error: FramewireError, request_id: str) -> web.Response:
    response = web.Response(status=errors.http_status(error), text=status_json(error, request_id), content_type=JSON)
    if (pause := errors.retry_after(error)) is not None:
        response.headers["Retry-After"] = str(math.ceil(pause))
    return response


async def _stream(
    request: web.Request, messages: Messages | None, arrival: Arrival, *, raw: bool
) -> web.StreamResponse:
    if messages is None:
        return web.Response(status=204)  # the one answer after which a browser does not come back
    framing: Framing = framing_for(request.headers.get("Accept", ""))
    if raw:
        first = await anext(messages, None)
        framing = RawBytes(_type_of(first))
        messages = _again(first, messages)
    headers = {"Content-Type": framing.content_type, "Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    response = in_chunks(request, web.StreamResponse(headers=headers))
    await response.prepare(request)
    if framing.begin:
        await response.write(framing.begin)
    await write_stream(request, response, messages, framing, arrival)
    await response.write_eof()
    return response


def _type_of(first: Shared[Message] | None) -> str:
    kind = first.message.content_type if first is not None and isinstance(first.message, HttpBody) else ""
    return kind or "application/octet-stream"


async def _again(first: Shared[Message] | None, rest: Messages) -> AsyncGenerator[Shared[Message], None]:
    """What was taken off a stream, put back."""
    async with contextlib.aclosing(rest):
        if first is not None:
            yield first
        async for message in rest:
            yield message


def _with_deadline(request: web.Request, arrival: Arrival) -> Arrival:
    timeout = timeout_of(request.headers.get("grpc-timeout"))
    return Arrival(arrival.metadata, arrival.request_id, arrival.peer, timeout, arrival.headers)


def _takes_bytes(found: Match) -> bool:
    """Whether the body is google.api.HttpBody: anything, under its own type."""
    message, body = found.route.method.descriptor.input_type, found.route.body
    kind: Any = message if body == "*" else message.fields_by_name[body].message_type
    return kind is not None and kind.full_name == HTTP_BODY


def _check_type(request: web.Request) -> None:
    """Anything but JSON could be sent by a page of any site without the browser asking us first."""
    if request.content_type != JSON:
        raise InvalidRequest(f"the body must be {JSON}, not {request.content_type}")


def _set_key(request: web.Request, message: Message) -> None:
    """`Idempotency-Key` is the field of that name, where there is one that is not set. Raises InvalidRequest."""
    given = request.headers.get("Idempotency-Key", "").strip()
    if not given or "idempotency_key" not in message.DESCRIPTOR.fields_by_name or message.idempotency_key:  # type: ignore[attr-defined]  # looked up just now
        return
    key = given[1:-1] if len(given) > 1 and given[0] == given[-1] == '"' else given
    try:
        message.idempotency_key = key  # type: ignore[attr-defined]  # as above
    except (ValueError, UnicodeError):
        raise InvalidRequest("the header Idempotency-Key is not text") from None


def _set_place(request: web.Request, method: Method, message: Message) -> None:
    """Where a browser says how far it came, that counts, not the address it began with. Raises InvalidRequest."""
    came_to = request.headers.get("Last-Event-ID") if method.streams else None
    if not came_to or "after_event" not in message.DESCRIPTOR.fields_by_name:
        return
    try:
        if not came_to.isascii() or not came_to.isdigit() or len(came_to) > _LONGEST_NUMBER:
            raise ValueError
        message.after_event = int(came_to)  # type: ignore[attr-defined]  # looked up just now
    except ValueError:
        words = "must be the id of an event"
        raise InvalidRequest(f"Last-Event-ID {words}", violations=[Violation("Last-Event-ID", words)]) from None
