"""The rules of the contract, enforced: protovalidate's violations as one InvalidRequest."""

from __future__ import annotations

from typing import Any

import protovalidate
from google.protobuf.message import Message

from framewire.errors import InvalidRequest, Violation


def validate(request: Message) -> None:
    """Raise InvalidRequest naming every field that breaks its rule (`steps[0].enhance.scale`)."""
    found = protovalidate.collect_violations(request)
    if found:
        raise invalid([Violation(_path(each.proto.field), each.proto.message) for each in found])


def invalid(violations: list[Violation]) -> InvalidRequest:
    """One InvalidRequest whose message is the first violation."""
    first = violations[0]
    more = f" (and {len(violations) - 1} more)" if len(violations) > 1 else ""
    where = f"{first.field}: " if first.field else ""
    return InvalidRequest(f"{where}{first.description}{more}", violations=violations)


def _path(field: Any) -> str:  # protovalidate's own descriptor type; not published
    return ".".join(_element(element) for element in (field.elements if field is not None else ()))


def _element(element: Any) -> str:
    subscript = element.subscript
    if subscript is None:
        return str(element.field_name)
    value = subscript.value
    return f"{element.field_name}[{value}]" if subscript.field == "index" else f'{element.field_name}["{value}"]'
