"""The whole document: an operation for every address of every method."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from importlib.metadata import version
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.rpc import status_pb2

from framewire.errors import ErrorCode
from gateway.errors import HTTP, HTTP_ONLY, STATUSES
from gateway.openapi.comments import comments
from gateway.openapi.examples import example, text_of
from gateway.openapi.rules import is_required
from gateway.openapi.schema import Schema, Schemas, component_name, described
from gateway.rest.routes import Route
from gateway.rest.transcode import HTTP_BODY

_DEEPEST = 3  # levels of fields that are offered as query parameters
_ANYWHERE = (400, 404, 409, 429, 500, 501, 503, 504)
"""Statuses any method may answer with."""
_INTRODUCTION = """\
Upload a clip, say what should happen, watch it happen, download the result.

The same methods are served over gRPC and gRPC-Web. Every error is a google.rpc.Status whose ErrorInfo has a stable
reason. Numbers of 64 bits are strings in answers; fields with their default value are left out.
"""


def render(routes: Sequence[Route]) -> str:
    """The document as JSON."""
    return json.dumps(openapi(routes), ensure_ascii=False)


def openapi(routes: Sequence[Route]) -> dict[str, Any]:
    """The document."""
    schemas = Schemas(_bodies(routes))
    paths: dict[str, dict[str, Any]] = {}
    for number, route in enumerate(routes):
        path = re.sub(r"\{([\w.]+)=[^}]*\}", r"{\1}", route.path)
        again = any(each.method is route.method for each in routes[:number])
        paths.setdefault(path, {})[route.verb.lower()] = _operation(route, schemas, again=again)
    services = sorted({route.method.service for route in routes})
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Framewire",
            "version": version("framewire"),
            "description": _INTRODUCTION,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": name.rpartition(".")[2], **described(name)} for name in services],
        "paths": paths,
        "components": {
            "schemas": {"google.rpc.Status": _status(schemas), **schemas.components},
            "responses": {f"Error{status}": _error(status) for status in _ANYWHERE} | {"Error": _error(None)},
        },
    }


def _bodies(routes: Iterable[Route]) -> Iterator[Descriptor]:
    for route in routes:
        message = route.method.descriptor.input_type
        if route.body == "*":
            yield message
        elif route.body and (kind := message.fields_by_name[route.body].message_type) is not None:
            yield kind


def _operation(route: Route, schemas: Schemas, *, again: bool) -> dict[str, Any]:
    method = route.method
    words = comments().get(method.full_name.replace("/", "."), "")
    operation: dict[str, Any] = {
        "operationId": f"{method.service.rpartition('.')[2]}_{method.name}" + (f"_{route.verb}" if again else ""),
        "tags": [method.service.rpartition(".")[2]],
        "summary": words.partition(".")[0].replace("\n", " ") or method.name,
        "parameters": [*_path_parameters(route, schemas), *_query_parameters(route, schemas), *_headers(route)],
        "responses": _responses(route, schemas),
    }
    if words:
        operation["description"] = words
    if route.body:
        operation["requestBody"] = _request_body(route, schemas)
    return operation


def _path_parameters(route: Route, schemas: Schemas) -> Iterator[dict[str, Any]]:
    for name in route.template.variables:
        field = _leaf(route.method.descriptor.input_type, name)
        yield _parameter(name, "path", field, schemas.value(field), required=True)


def _query_parameters(route: Route, schemas: Schemas) -> Iterator[dict[str, Any]]:
    if route.body == "*":
        return
    taken = {*route.template.variables, route.body}
    for name, field in _leaves(route.method.descriptor.input_type, taken, (), ()):
        schema = schemas.value(field)
        if field.is_repeated:
            schema = {"type": "array", "items": schema}
        yield _parameter(name, "query", field, schema, required=is_required(field))


def _parameter(name: str, place: str, field: FieldDescriptor, schema: Schema, *, required: bool) -> dict[str, Any]:
    parameter: dict[str, Any] = {"name": name, "in": place, "required": required, "schema": schema}
    parameter |= described(field.full_name)
    value = text_of(field) if field.message_type is None else None
    if value not in {None, ""} and place == "path":
        parameter["example"] = value
    return parameter


def _leaf(message: Descriptor, path: str) -> FieldDescriptor:
    *parents, last = path.split(".")
    for name in parents:
        message = message.fields_by_name[name].message_type
    field: FieldDescriptor = message.fields_by_name[last]
    return field


def _leaves(
    message: Descriptor, taken: set[str], above: tuple[str, ...], names: tuple[str, ...]
) -> Iterator[tuple[str, FieldDescriptor]]:
    """The fields that can stand in a query, with their JSON paths."""
    for field in message.fields:
        path, name = (*above, field.name), (*names, field.json_name)
        kind = field.message_type
        if ".".join(path) in taken or (kind is not None and kind.GetOptions().map_entry):
            continue
        if kind is None or kind.full_name.startswith("google.protobuf."):
            yield ".".join(name), field
        elif not field.is_repeated and len(path) < _DEEPEST:
            yield from _leaves(kind, taken, path, name)


def _headers(route: Route) -> Iterator[dict[str, Any]]:
    fields = route.method.descriptor.input_type.fields_by_name
    if "idempotency_key" in fields:
        yield _header(
            "Idempotency-Key",
            "For who cannot set `idempotencyKey`, which counts more.",
            {"type": "string", "maxLength": 128},
        )
    if route.method.streams and "after_event" in fields:
        words = "The number of the last event that arrived; it counts more than `afterEvent`."
        yield _header("Last-Event-ID", words, {"type": "string", "pattern": "^[0-9]{1,19}$"})


def _header(name: str, words: str, schema: Schema) -> dict[str, Any]:
    return {"name": name, "in": "header", "required": False, "description": words, "schema": schema}


def _request_body(route: Route, schemas: Schemas) -> dict[str, Any]:
    message = route.method.descriptor.input_type
    if route.body != "*":
        field = message.fields_by_name[route.body]
        if field.message_type is not None and field.message_type.full_name == HTTP_BODY:
            return {"required": True, "content": {"*/*": {"schema": {"type": "string", "format": "binary"}}}}
        message = field.message_type
    schema, whole = _without(schemas, message, set(route.template.variables))
    shown = {name: value for name, value in example(message).items() if name in whole["properties"]}
    required = bool(whole.get("required"))
    return {"required": required, "content": {"application/json": {"schema": schema, "example": shown}}}


def _without(schemas: Schemas, message: Descriptor, variables: set[str]) -> tuple[Schema, Schema]:
    """The body's schema, and the same written out: what stands in the address is not asked for again."""
    reference = schemas.reference(message)
    whole = schemas.components[component_name(message)]
    known = {message.fields_by_name[name].json_name for name in variables if name in message.fields_by_name}
    if not known:
        return reference, whole
    properties = {name: schema for name, schema in whole["properties"].items() if name not in known}
    required = [name for name in whole.get("required", ()) if name not in known]
    rest = {**whole, "properties": properties, "required": required}
    return rest, rest


def _responses(route: Route, schemas: Schemas) -> dict[str, Any]:
    responses: dict[str, Any] = {"200": _success(route, schemas)}
    if route.method.streams:
        responses["204"] = {"description": "The job has ended and everything was told: do not come back."}
    elif route.verb == "GET":
        responses["304"] = {"description": "What `If-None-Match` names is still the answer."}
    for status in _ANYWHERE:
        responses[str(status)] = {"$ref": f"#/components/responses/Error{status}"}
    return {**responses, "default": {"$ref": "#/components/responses/Error"}}


def _success(route: Route, schemas: Schemas) -> dict[str, Any]:
    message = route.method.descriptor.output_type
    if message.full_name == HTTP_BODY:
        return {"description": "The bytes.", "content": {"*/*": {"schema": {"type": "string", "format": "binary"}}}}
    schema, sample = schemas.reference(message), example(message)
    if route.response_body:
        field = message.fields_by_name[route.response_body]
        schema = schemas._shape(field)
        sample = sample.get(field.json_name)
    if not route.method.streams:
        return {"description": "Done.", "content": {"application/json": {"schema": schema, "example": sample}}}
    return {
        "description": "One message after the other, until it ends.",
        "content": {
            "application/x-ndjson": {"schema": schema, "example": sample},
            "text/event-stream": {"schema": {"type": "string"}, "example": _as_event(sample)},
        },
    }


def _as_event(sample: Any) -> str:
    return f"id: {sample.get('number', 1)}\nevent: status\ndata: {json.dumps(sample)}\n\n"


def _status(schemas: Schemas) -> Schema:
    schemas.reference(status_pb2.Status.DESCRIPTOR)
    schema = dict(schemas.components["google.rpc.Status"])
    return {**schema, "required": ["code", "message"], "description": "What went wrong."}


def _error(status: int | None) -> dict[str, Any]:
    codes = [code for code in ErrorCode if status in {None, HTTP_ONLY.get(code) or HTTP[STATUSES[code]]}]
    words = "Any other error." if status is None else "One of: " + ", ".join(f"`{code}`" for code in codes) + "."
    content: dict[str, Any] = {"schema": {"$ref": "#/components/schemas/google.rpc.Status"}}
    if status is not None and codes:
        content["example"] = _sample_error(codes[0])
    return {"description": words, "content": {"application/json": content}}


def _sample_error(code: ErrorCode) -> dict[str, Any]:
    kind = "type.googleapis.com/google.rpc."
    return {
        "code": STATUSES[code].value[0],
        "message": "page_size: must be at most 200" if code == ErrorCode.INVALID_ARGUMENT else "in words for people",
        "details": [
            {"@type": f"{kind}ErrorInfo", "reason": code, "domain": "framewire", "metadata": {"retryable": "false"}},
            {"@type": f"{kind}RequestInfo", "requestId": "01ja5xk3v9w2q8r7t6y5z4n3m0"},
        ],
    }
