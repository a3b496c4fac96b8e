"""Examples of messages, made from the fields' names and rules: what a client could send and get."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from gateway.openapi.rules import keywords, rules_of

_JOB, _ASSET = "job_01ja5xk3v9w2q8r7t6y5z4n3m2", "ast_01ja5xk3v9w2q8r7t6y5z4n3m1"
_SHA = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
_TEXT: Mapping[str, str] = {
    "job_id": _JOB,
    "asset_id": _ASSET,
    "input_asset_ids": _ASSET,
    "output_asset_ids": _ASSET,
    "workspace_id": "default",
    "filename": "holiday.mp4",
    "sha256": _SHA,
    "url": "https://store.example/framewire/default/uploads/holiday?signature=abc",
    "method": "PUT",
    "name": "enhance",
    "model": "upscale_bicubic_x2",
    "preset": "veryfast",
    "worker": "w1",
    "stage": "process",
    "idempotency_key": "holiday-1",
    "codec": "h264",
    "page_token": "",
    "next_page_token": "",
}
_WELL_KNOWN: Mapping[str, Any] = {
    "google.protobuf.Timestamp": "2026-11-21T12:00:00Z",
    "google.protobuf.Duration": "3.500s",
    "google.protobuf.FieldMask": "filename",
    "google.protobuf.Empty": {},
}
_NUMBERS: Mapping[str, float] = {"fraction": 0.5, "fps": 25, "duration": 10, "size_bytes": 1048576, "crf": 18}
_DEEPEST = 3


def example(message: Descriptor, depth: int = 0) -> Any:
    """JSON of the message; of a oneof its first field."""
    if message.full_name in _WELL_KNOWN:
        return _WELL_KNOWN[message.full_name]
    fields: dict[str, Any] = {}
    for field in message.fields:
        oneof = field.containing_oneof
        chosen = oneof is None or len(oneof.fields) == 1 or oneof.fields[0] is field
        if chosen and (value := _value(field, depth)) is not None:
            fields[field.json_name] = value
    return fields


def text_of(field: FieldDescriptor) -> Any:
    """One value of a field that is no message."""
    if field.enum_type is not None:
        return field.enum_type.values[min(1, len(field.enum_type.values) - 1)].name
    if field.cpp_type == FieldDescriptor.CPPTYPE_STRING:
        return "" if field.type == FieldDescriptor.TYPE_BYTES else _TEXT.get(field.name)
    if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
        return False
    return _number(field)


def _value(field: FieldDescriptor, depth: int) -> Any:
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        return None
    if field.message_type is not None:
        one = example(field.message_type, depth + 1) if depth < _DEEPEST else None
    else:
        one = text_of(field)
    if one is None or one == "":
        return None
    return [one] if field.is_repeated else one


def _number(field: FieldDescriptor) -> Any:
    said = keywords(rules_of(field))
    said = said.get("anyOf", [said])[-1]  # of `0, or a number from 60 on` the latter
    number = _NUMBERS.get(field.name, said.get("minimum", said.get("enum", [1])[-1]))
    large = field.cpp_type in {FieldDescriptor.CPPTYPE_INT64, FieldDescriptor.CPPTYPE_UINT64}
    return str(number) if large else number
