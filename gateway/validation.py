"""The rules of the contract, enforced: protovalidate's violations as one InvalidRequest."""

from __future__ import annotations

import re
from typing import Any

import protovalidate
from google.protobuf.message import Message

from framewire.errors import ErrorCode, InvalidRequest, Violation
from framewire.steps import inpaint
from framewire.steps.parse import step_names
from framewire.steps.written import HOW_WRITTEN

_STEP_KIND = re.compile(r"steps\[\d+\]\.kind")

# what a regular expression refuses, for people
_IN_WORDS = {
    "job_id": "this is not a job id (job_ and 26 small letters and digits)",
    "asset_id": "this is not an asset id (ast_ and 26 small letters and digits)",
    "input_asset_ids": "this is not an asset id (ast_ and 26 small letters and digits)",
    "filename": "this is not a file name: it contains /, \\ or a control character",
    "sha256": "this is not a SHA-256: 64 small hexadecimal digits",
    "name": "this is not a name: small letters, digits and _, 64 at most, the first one a letter",
    "model": "this is not a model's name: letters, digits, _, . and -, 100 at most, the first a letter or a digit",
    **HOW_WRITTEN,
}


def validate(request: Message) -> None:
    """Raise InvalidRequest naming every field that breaks its rule (`steps[0].enhance.scale`).

    Its code is STEP_UNKNOWN when a step is none that this server knows: in binary, that is one without a kind.
    """
    violations = [_violation(each.proto) for each in protovalidate.collect_violations(request)]
    unknown = [each for each in violations if _STEP_KIND.fullmatch(each.field)]
    if violations:
        raise invalid(unknown + [each for each in violations if each not in unknown], unknown_step=bool(unknown))


def invalid(violations: list[Violation], *, unknown_step: bool = False) -> InvalidRequest:
    """One InvalidRequest whose message is the first violation."""
    first = violations[0]
    more = f" (and {len(violations) - 1} more)" if len(violations) > 1 else ""
    where = f"{first.field}: " if first.field else ""
    code = ErrorCode.STEP_UNKNOWN if unknown_step else None
    return InvalidRequest(f"{where}{first.description}{more}", code=code, violations=violations)


def _violation(found: Any) -> Violation:  # protovalidate's own message type; not published
    field = _path(found.field)
    if _STEP_KIND.fullmatch(field):
        return Violation(field, f"this is no step known here; there are: {', '.join(step_names())}")
    if found.rule_id == "required" and ".inpaint." in field:
        return Violation(field, inpaint.NEEDED.get(_name(field), found.message))
    if found.rule_id == "string.pattern":
        return Violation(field, _IN_WORDS.get(_name(field), found.message))
    return Violation(field, found.message)


def _name(field: str) -> str:
    """The last part of a path, without index: `steps[0].enhance.model` -> `model`."""
    return field.rpartition(".")[2].partition("[")[0]


def _path(field: Any) -> str:  # protovalidate's own descriptor type; not published
    return ".".join(_element(element) for element in (field.elements if field is not None else ()))


def _element(element: Any) -> str:
    subscript = element.subscript
    if subscript is None:
        return str(element.field_name)
    value = subscript.value
    return f"{element.field_name}[{value}]" if subscript.field == "index" else f'{element.field_name}["{value}"]'
