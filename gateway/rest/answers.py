"""One answer over HTTP: JSON or bytes, with what caches and browsers need around it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from typing import cast
from urllib.parse import quote

from aiohttp import web
from aiohttp.web import ContentCoding
from google.api.httpbody_pb2 import HttpBody
from google.protobuf.message import Message

from gateway.rest.accept import accepts, prefers
from gateway.rest.routes import Route
from gateway.rest.transcode import to_json

JSON = "application/json"
_WORTH_PACKING = 1024  # bytes
_ETAG = re.compile(r'(?:W/)?"([^"]*)"')


class Resources:
    """Where things can be read again, found in the contract: `GET /v1/jobs/{job_id}` answers with a Job."""

    def __init__(self, routes: Iterable[Route]) -> None:
        routes = list(routes)
        getters = [each for each in routes if each.verb == "GET" and not each.method.streams and _names_itself(each)]
        watched = {tuple(each.template.variables) for each in routes if each.method.streams}
        self._getters = {_answer_of(each): each for each in reversed(getters)}
        self._goes_on = {name for name, each in self._getters.items() if tuple(each.template.variables) in watched}

    def location(self, answer: Message) -> str | None:
        """The address of what a call answered with."""
        getter = self._getters.get(answer.DESCRIPTOR.full_name)
        if getter is None:
            return None
        values = {name: quote(str(getattr(answer, name)), safe="") for name in getter.template.variables}
        return re.sub(r"\{(\w+)[^}]*\}", lambda found: values[found.group(1)], getter.path)

    def goes_on(self, answer: Message) -> bool:
        """Whether the call began something that can be watched."""
        return answer.DESCRIPTOR.full_name in self._goes_on


def answer(request: web.Request, route: Route, message: Message, resources: Resources) -> web.Response:
    """200 with the message; 202 where the client prefers not to wait for what it began; 304 where it has it already."""
    response = _body(route, message)
    if request.method == "POST":
        _note_location(request, response, message, resources)
    if request.method in {"GET", "HEAD"}:
        _note_tag(request, response)
    _pack(request, response)
    return response


def _body(route: Route, message: Message) -> web.Response:
    if route.response_body:
        value = getattr(message, route.response_body)
        message = value if isinstance(value, HttpBody) else message
    if isinstance(message, HttpBody):
        kind = message.content_type or "application/octet-stream"
        return web.Response(body=message.data, headers={"Content-Type": kind, "X-Content-Type-Options": "nosniff"})
    return web.Response(text=to_json(message, route.response_body), content_type=JSON)


def _note_location(request: web.Request, response: web.Response, message: Message, resources: Resources) -> None:
    location = resources.location(message)
    if location and location != request.rel_url.raw_path:
        response.headers["Content-Location"] = location
    if resources.goes_on(message) and prefers(request.headers.get("Prefer", ""), "respond-async"):
        response.set_status(202)
        response.headers["Preference-Applied"] = "respond-async"
        response.headers["Location"] = str(location)


def _note_tag(request: web.Request, response: web.Response) -> None:
    """A weak tag: packed or not, it is the same answer."""
    tag = hashlib.sha256(cast("bytes", response.body)).hexdigest()[:32]
    response.headers["ETag"] = f'W/"{tag}"'
    response.headers["Cache-Control"] = "no-cache"
    known = request.headers.get("If-None-Match", "")
    if known.strip() == "*" or tag in _ETAG.findall(known):
        response.set_status(304)
        response.body = None


def _pack(request: web.Request, response: web.Response) -> None:
    response.headers["Vary"] = "Accept-Encoding"
    large = isinstance(response.body, bytes) and len(response.body) >= _WORTH_PACKING
    if large and accepts(request.headers.get("Accept-Encoding", ""), "gzip"):
        response.enable_compression(ContentCoding.gzip)


def _names_itself(route: Route) -> bool:
    """What it answers with has the fields its address is made of."""
    fields = route.method.descriptor.output_type.fields_by_name
    return bool(route.template.variables) and all(name in fields for name in route.template.variables)


def _answer_of(route: Route) -> str:
    return str(route.method.descriptor.output_type.full_name)
