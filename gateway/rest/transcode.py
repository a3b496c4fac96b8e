"""HTTP to message and back, by protobuf's own JSON rules.

Field names are accepted as in the contract (`input_asset_ids`) and as JSON writes them (`inputAssetIds`); answers use
the latter, and like all protobuf JSON leave out what has its default value and write 64-bit integers as strings.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, cast

from google.protobuf import json_format
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from framewire.errors import InvalidRequest, Violation
from gateway.rest.complaints import refusal
from gateway.validation import invalid

_TIMESTAMP = "google.protobuf.Timestamp"


def request_message(
    kind: type[Message], *, path: Mapping[str, str], query: Iterable[tuple[str, str]], body: bytes | None
) -> Message:
    """The request an HTTP request stands for. `body` is None where the method takes none.

    Raises InvalidRequest for anything unknown, doubled or of the wrong type.
    """
    fields = query_fields(_descriptor(kind), query)
    if body is not None:
        if fields:
            raise _violation(next(iter(fields)), "this method takes its fields in the body, not in the query")
        fields = _object(body)
    _add_path(_descriptor(kind), fields, path)
    return _parse(kind(), fields)


def to_json(message: Message) -> str:
    """The message as JSON on one line."""
    return json.dumps(json_format.MessageToDict(message), ensure_ascii=False, separators=(",", ":"))


def query_fields(message: Descriptor, query: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """Query parameters as the JSON object they stand for: scalars, enums, times, and repeated ones by repetition."""
    fields: dict[str, Any] = {}
    for name, text in query:
        field = _field(message, name)
        if field is None or not _is_scalar(field):
            raise _violation(name[:100], "no such query parameter")
        value = _query_value(field, text)
        if field.is_repeated:
            fields.setdefault(field.name, []).append(value)
        elif field.name in fields:
            raise _violation(name, "given twice")
        else:
            fields[field.name] = value
    return fields


def _is_scalar(field: FieldDescriptor) -> bool:
    """Whether its JSON is one word: a scalar, an enum, a time."""
    return field.message_type is None or field.message_type.full_name == _TIMESTAMP


def _descriptor(kind: type[Message]) -> Descriptor:
    return cast("Descriptor", kind.DESCRIPTOR)  # the stubs also know the C implementation's type


def _field(message: Descriptor, name: str) -> FieldDescriptor | None:
    return next((field for field in message.fields if name in {field.name, field.camelcase_name}), None)


def _query_value(field: FieldDescriptor, text: str) -> object:
    if field.cpp_type != FieldDescriptor.CPPTYPE_BOOL:
        return text  # protobuf JSON takes numbers and enums as strings
    if text not in {"true", "false"}:
        raise _violation(field.name, "must be true or false")
    return text == "true"


def _object(body: bytes) -> dict[str, Any]:
    if not body:
        return {}
    try:
        value = json.loads(body, object_pairs_hook=_without_doubles)
    except RecursionError:
        raise InvalidRequest("the body is not JSON that can be read: it is nested too deeply") from None
    except ValueError as error:
        raise InvalidRequest(f"the body is not JSON: {str(error)[:200]}") from None
    if not isinstance(value, dict):
        raise InvalidRequest("the body must be a JSON object")
    return value


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise ValueError("a field is given twice")
    return fields


def _add_path(message: Descriptor, fields: dict[str, Any], path: Mapping[str, str]) -> None:
    """Path variables are fields too; one that is repeated elsewhere must say the same."""
    for name, value in path.items():
        camel = message.fields_by_name[name].camelcase_name
        given = [fields.pop(each) for each in {name, camel} if each in fields]
        if any(each != value for each in given):
            raise _violation(name, "is not what the address says")
        fields[name] = value


def _parse(message: Message, fields: dict[str, Any]) -> Message:
    try:
        return json_format.ParseDict(fields, message)
    except json_format.ParseError as error:
        raise refusal(str(error)) from None
    except (RecursionError, ValueError, TypeError) as error:
        raise InvalidRequest(f"the request cannot be read: {str(error)[:200]}") from None


def _violation(field: str, description: str) -> InvalidRequest:
    return invalid([Violation(field, description)])
