"""The contract's rules (protovalidate) in the words of JSON Schema."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from google.protobuf.descriptor import FieldDescriptor

from framewire._buf.validate import validate_pb2

_STRING = (("minLength", "min_len"), ("maxLength", "max_len"), ("pattern", "pattern"))
_NUMBER = (
    ("minimum", "gte"),
    ("exclusiveMinimum", "gt"),
    ("maximum", "lte"),
    ("exclusiveMaximum", "lt"),
)
_REPEATED = (("minItems", "min_items"), ("maxItems", "max_items"))


def rules_of(field: FieldDescriptor) -> Any:
    """The field's protovalidate rules; empty ones where it has none."""
    return field.GetOptions().Extensions[validate_pb2.field]


def keywords(rules: Any) -> dict[str, Any]:
    """What JSON Schema can say of the rules."""
    kind = rules.WhichOneof("type")
    if kind is None:
        return {}
    own = getattr(rules, kind)
    said = {"string": _STRING, "repeated": _REPEATED}.get(kind, _NUMBER)
    found = {keyword: getattr(own, name) for keyword, name in said if _is_set(own, name)}
    if choices := list(getattr(own, "in", ())):
        found["enum"] = choices
    return _or_empty(rules, found)


def is_required(field: FieldDescriptor) -> bool:
    """Whether the value a field has when nobody sets it breaks its rules."""
    rules = rules_of(field)
    if rules.ignore == validate_pb2.IGNORE_IF_ZERO_VALUE or (field.has_presence and field.message_type is None):
        return bool(rules.required)
    kind = rules.WhichOneof("type")
    if rules.required or kind is None:
        return bool(rules.required)
    own = getattr(rules, kind)
    return _refuses_nothing(kind, own)


def _refuses_nothing(kind: str, own: Any) -> bool:
    if kind == "string":
        return own.min_len > 0 or (own.HasField("pattern") and not re.search(own.pattern, ""))
    if kind == "repeated":
        return bool(own.min_items > 0)
    if kind == "enum":
        return 0 in own.not_in
    return (_is_set(own, "gte") and own.gte > 0) or (_is_set(own, "gt") and own.gt >= 0)


def _or_empty(rules: Any, found: dict[str, Any]) -> dict[str, Any]:
    """A rule that does not hold for the empty value allows it."""
    if rules.ignore == validate_pb2.IGNORE_IF_ZERO_VALUE:
        if "pattern" in found:
            found["pattern"] = f"^$|{found['pattern']}"
        if "enum" in found:
            found["enum"] = ["", *found["enum"]] if isinstance(found["enum"][0], str) else [0, *found["enum"]]
        if "minimum" in found:
            return {"anyOf": [{"const": 0}, found]}
    return found


def _is_set(own: Any, name: str) -> bool:
    return name in own.DESCRIPTOR.fields_by_name and own.HasField(name)


def numbers_as_text(found: Mapping[str, Any], *, signed: bool) -> str:
    """A pattern for a 64-bit number written as a string, no wider than the rule allows."""
    least, most = found.get("minimum", -1 if signed else 0), found.get("maximum")
    digits = 17 if most is None else max(len(str(most)) - 2, 0)
    if least >= 1:
        return rf"^[1-9][0-9]{{0,{digits}}}$"
    return rf"^{'-?' if least < 0 else ''}(0|[1-9][0-9]{{0,{digits}}})$"
