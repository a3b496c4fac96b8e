"""Query parameters as the JSON they stand for, as grpc-gateway documents them.

?page_size=5&output.crf=18&names=a&names=b&labels[lang]=de&update_mask=a,b.c&created_after=2026-11-21T12:00:00Z
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from framewire.errors import InvalidRequest, Violation
from gateway.validation import invalid

_DEEPEST = 32  # names in one parameter
_SHOWN = 100  # characters of a name that come back
_TRUE = frozenset({"1", "t", "T", "true", "TRUE", "True"})  # what Go's ParseBool takes, and so grpc-gateway
_FALSE = frozenset({"0", "f", "F", "false", "FALSE", "False"})
_WHOLE = re.compile(r"[+-]?[0-9]+")
_BASE64 = re.compile(r"(?:[A-Za-z0-9+/]*|[A-Za-z0-9_-]*)={0,2}")
_KEYED = re.compile(r"(.+?)\[(.*)\]", re.DOTALL)
_WRAPPERS = frozenset(
    f"google.protobuf.{name}Value"
    for name in ("Double", "Float", "Int64", "UInt64", "Int32", "UInt32", "Bool", "String", "Bytes")
)
_JSON_TYPES = frozenset({"google.protobuf.Struct", "google.protobuf.Value", "google.protobuf.ListValue"})
_WHOLE_TYPES = frozenset(
    {
        FieldDescriptor.CPPTYPE_INT32,
        FieldDescriptor.CPPTYPE_INT64,
        FieldDescriptor.CPPTYPE_UINT32,
        FieldDescriptor.CPPTYPE_UINT64,
    }
)


def query_fields(message: Descriptor, query: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """The parameters as a JSON object with the contract's field names.

    Raises InvalidRequest for a name that no field has, a field that cannot stand in a query, a value given twice.
    """
    fields: dict[str, Any] = {}
    for name, text in query:
        _add(fields, message, name, text)
    return fields


def field_named(message: Descriptor, name: str) -> FieldDescriptor | None:
    """By the contract's spelling or by JSON's."""
    return next((field for field in message.fields if name in {field.name, field.json_name}), None)


def scalar(field: FieldDescriptor, text: str, shown: str) -> object:
    """The JSON of one value of a field. Raises InvalidRequest naming `shown`."""
    if field.message_type is not None:
        return _well_known(field.message_type, text, shown)
    if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
        return _bool(text, shown)
    if field.cpp_type in _WHOLE_TYPES and not _WHOLE.fullmatch(text):
        raise violation(shown, f"{text[:_SHOWN]!r} is not a whole number")
    if field.type == FieldDescriptor.TYPE_BYTES and not _BASE64.fullmatch(text.replace(" ", "+")):
        raise violation(shown, "must be base64")
    return text.replace(" ", "+") if field.type == FieldDescriptor.TYPE_BYTES else text


def violation(field: str, description: str) -> InvalidRequest:
    """One field is to blame."""
    return invalid([Violation(field, description)])


def _add(fields: dict[str, Any], message: Descriptor, name: str, text: str) -> None:
    path, key = _split(name)
    parent, field = _walk(fields, message, path, name)
    if _is_map(field):
        _add_entry(parent.setdefault(field.name, {}), field, key, text, name)
        return
    if key is not None or not _fits(field):
        raise violation(name[:_SHOWN], "no such query parameter")
    value = scalar(field, text, name[:_SHOWN])
    if field.is_repeated:
        parent.setdefault(field.name, []).append(value)
    elif field.name in parent:
        raise violation(name[:_SHOWN], "given twice")
    else:
        parent[field.name] = value


def _split(name: str) -> tuple[list[str], str | None]:
    """`a.labels[x.y]` -> a, labels and the key x.y."""
    keyed = _KEYED.fullmatch(name)
    return (keyed.group(1).split("."), keyed.group(2)) if keyed else (name.split("."), None)


def _walk(
    fields: dict[str, Any], message: Descriptor, path: list[str], shown: str
) -> tuple[dict[str, Any], FieldDescriptor]:
    """The object a parameter's value belongs into, and its field. `shown` is the parameter's name as it was given."""
    if len(path) > _DEEPEST:
        raise violation(shown[:_SHOWN], "no such query parameter")
    for step in path[:-1]:
        field = field_named(message, step)
        if field is None or field.is_repeated or field.message_type is None or _is_well_known(field.message_type):
            raise violation(shown[:_SHOWN], "no such query parameter")
        fields, message = fields.setdefault(field.name, {}), field.message_type
    field = field_named(message, path[-1])
    if field is None:
        raise violation(shown[:_SHOWN], "no such query parameter")
    return fields, field


def _add_entry(entries: dict[str, Any], field: FieldDescriptor, key: str | None, text: str, shown: str) -> None:
    value_field = field.message_type.fields_by_name["value"]
    if key is None or not _fits(value_field):
        raise violation(shown[:_SHOWN], f"write it as {field.name}[key]=value")
    if key in entries:
        raise violation(shown[:_SHOWN], "given twice")
    entries[key] = scalar(value_field, text, shown[:_SHOWN])


def _is_map(field: FieldDescriptor) -> bool:
    return field.message_type is not None and bool(field.message_type.GetOptions().map_entry)


def _is_well_known(message: Descriptor) -> bool:
    """Its JSON is one value."""
    return message.full_name in _WELL_KNOWN


def _fits(field: FieldDescriptor) -> bool:
    return field.message_type is None or _is_well_known(field.message_type)


def _well_known(message: Descriptor, text: str, shown: str) -> object:
    return _WELL_KNOWN[message.full_name](message, text, shown)


def _bool(text: str, shown: str) -> bool:
    if text not in _TRUE | _FALSE:
        raise violation(shown, "must be true or false")
    return text in _TRUE


def _as_text(message: Descriptor, text: str, shown: str) -> object:
    return text


def _wrapped(message: Descriptor, text: str, shown: str) -> object:
    return scalar(message.fields_by_name["value"], text, shown)


def _as_json(message: Descriptor, text: str, shown: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise violation(shown, "must be JSON") from None


def _mask(message: Descriptor, text: str, shown: str) -> object:
    """JSON's spelling of a mask; in a query the contract's is taken too."""
    return re.sub(r"_([a-z0-9])", lambda found: found.group(1).upper(), text)


_WELL_KNOWN: Mapping[str, Callable[[Descriptor, str, str], object]] = {
    "google.protobuf.Timestamp": _as_text,
    "google.protobuf.Duration": _as_text,
    "google.protobuf.FieldMask": _mask,
    **dict.fromkeys(_WRAPPERS, _wrapped),
    **dict.fromkeys(_JSON_TYPES, _as_json),
}
