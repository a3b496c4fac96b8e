"""HTTP to message and back, by protobuf's own JSON rules.

Field names are accepted as in the contract (`input_asset_ids`) and as JSON writes them (`inputAssetIds`); answers use
the latter, and like all protobuf JSON leave out what has its default value and write 64-bit integers as strings.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping
from typing import Any, cast

from google.protobuf import json_format
from google.protobuf.descriptor import Descriptor
from google.protobuf.message import Message

from framewire.errors import InvalidRequest
from gateway.rest.complaints import refusal
from gateway.rest.query import field_named, query_fields, scalar, violation

HTTP_BODY = "google.api.HttpBody"
"""The message that is sent as it is: its bytes under its own content type."""
_MASK = "google.protobuf.FieldMask"


def request_message(
    kind: type[Message],
    *,
    path: Mapping[str, str],
    query: Iterable[tuple[str, str]],
    body: bytes | None,
    body_field: str = "*",
    content_type: str = "application/json",
) -> Message:
    """The request an HTTP request stands for. `body` is None where the method takes none.

    Raises InvalidRequest for anything unknown, doubled or of the wrong type.
    """
    message = _descriptor(kind)
    fields = query_fields(message, query)
    if body is not None and body_field == "*":
        if fields:
            raise violation(next(iter(fields)), "this method takes its fields in the body, not in the query")
        fields = _whole_body(message, body, content_type)
    elif body is not None:
        if body_field in fields:
            raise violation(body_field, "this field is the body")
        _add_body(message, fields, body, body_field, content_type)
    for name, text in path.items():
        _add_variable(message, fields, name, text)
    return _parse(kind(), fields)


def fill_mask(message: Message, body_field: str, body: bytes) -> None:
    """A PATCH says by what it sends what shall change: an empty field mask becomes the fields of the body."""
    masks = [f for f in message.DESCRIPTOR.fields if f.message_type is not None and f.message_type.full_name == _MASK]
    if len(masks) == 1 and not masks[0].is_repeated and not message.HasField(masks[0].name):
        sent = _json(body)
        inner = message.DESCRIPTOR.fields_by_name[body_field].message_type
        getattr(message, masks[0].name).paths.extend(_leaves(inner, sent) if isinstance(sent, dict) else ())


def to_json(message: Message, field: str = "") -> str:
    """The message, or one of its fields, as JSON on one line."""
    value = json_format.MessageToDict(message)
    if field:
        value = _field_json(message, field, value)
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _field_json(message: Message, name: str, value: dict[str, Any]) -> Any:
    """One field's JSON; its default where the message leaves it out."""
    field = message.DESCRIPTOR.fields_by_name[name]
    if field.json_name in value:
        return value[field.json_name]
    if field.message_type is not None and not field.is_repeated:
        return {}
    return json_format.MessageToDict(message, always_print_fields_with_no_presence=True).get(field.json_name)


def _descriptor(kind: type[Message]) -> Descriptor:
    return cast("Descriptor", kind.DESCRIPTOR)  # the stubs also know the C implementation's type


def _whole_body(message: Descriptor, body: bytes, content_type: str) -> dict[str, Any]:
    if message.full_name == HTTP_BODY:
        return _raw(body, content_type)
    value = _json(body) if body else {}
    if not isinstance(value, dict):
        raise InvalidRequest("the body must be a JSON object")
    return value


def _add_body(message: Descriptor, fields: dict[str, Any], body: bytes, name: str, content_type: str) -> None:
    """The body is one field's JSON."""
    kind = message.fields_by_name[name].message_type
    if kind is not None and kind.full_name == HTTP_BODY:
        fields[name] = _raw(body, content_type)
    elif body:
        fields[name] = _json(body)


def _raw(body: bytes, content_type: str) -> dict[str, Any]:
    return {"contentType": content_type, "data": base64.b64encode(body).decode()}


def _json(body: bytes) -> Any:
    try:
        return json.loads(body, object_pairs_hook=_without_doubles)
    except RecursionError:
        raise InvalidRequest("the body is not JSON that can be read: it is nested too deeply") from None
    except ValueError as error:
        raise InvalidRequest(f"the body is not JSON: {str(error)[:200]}") from None


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise ValueError("a field is given twice")
    return fields


def _add_variable(message: Descriptor, fields: dict[str, Any], path: str, text: str) -> None:
    """Path variables are fields too; one that is repeated elsewhere must say the same."""
    *parents, last = path.split(".")
    for name in parents:
        field = message.fields_by_name[name]
        spelt = next((each for each in (field.name, field.json_name) if each in fields), field.name)
        fields = fields.setdefault(spelt, {})
        if not isinstance(fields, dict):
            raise violation(name, "must be an object")
        message = field.message_type
    field = message.fields_by_name[last]
    value = scalar(field, text, path)
    given = [fields.pop(each) for each in {field.name, field.json_name} if each in fields]
    if any(each != value for each in given):
        raise violation(path, "is not what the address says")
    fields[field.name] = value


def _leaves(message: Descriptor | None, sent: dict[str, Any]) -> list[str]:
    """Paths of the values in a JSON object, in the contract's spelling."""
    paths = []
    for name, value in sent.items():
        field = field_named(message, name) if message is not None else None
        if field is None:
            continue  # it was refused before
        inner = field.message_type
        deeper = isinstance(value, dict) and inner is not None and not field.is_repeated and value
        below = _leaves(inner, value) if deeper else []
        paths += [f"{field.name}.{each}" for each in below] or [field.name]
    return paths


def _parse(message: Message, fields: dict[str, Any]) -> Message:
    try:
        return json_format.ParseDict(fields, message)
    except json_format.ParseError as error:
        raise refusal(str(error)) from None
    except (RecursionError, ValueError, TypeError) as error:
        raise InvalidRequest(f"the request cannot be read: {str(error)[:200]}") from None
