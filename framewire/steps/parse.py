"""Steps as people write them on a command line: `enhance`, `enhance:scale=2`, `enhance:scale=2,model=NAME`.

What can be written follows from proto/framewire/v1/step.proto; nothing is listed here a second time. Ranges are the
server's to check: it knows its limits and its models. A parameter that is a message is written as JSON, or as `@FILE`
for a file that holds it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor
from google.protobuf.json_format import MessageToJson, ParseDict, ParseError
from google.protobuf.message import Message

from framewire.errors import ErrorCode, InvalidRequest
from framewire.v1.step_pb2 import Step

_TRUE = {"true", "yes", "1", "on"}
_FALSE = {"false", "no", "0", "off"}
_COMMA = re.compile(r"(?<!\\),")
# What the wire can carry; what the step allows is narrower.
_INTEGERS = {
    FieldDescriptor.CPPTYPE_INT32: range(-(2**31), 2**31),
    FieldDescriptor.CPPTYPE_INT64: range(-(2**63), 2**63),
    FieldDescriptor.CPPTYPE_UINT32: range(2**32),
    FieldDescriptor.CPPTYPE_UINT64: range(2**64),
}
_NUMBERS = {FieldDescriptor.CPPTYPE_FLOAT, FieldDescriptor.CPPTYPE_DOUBLE}


def step_names() -> list[str]:
    """Names of all steps, as the proto lists them."""
    return [field.name for field in Step.DESCRIPTOR.oneofs_by_name["kind"].fields]


def no_files(name: str) -> str:
    """Opens nothing. Raises ValueError."""
    raise ValueError(f"{name} cannot be read here")


def parse_step(text: str, *, read_file: Callable[[str], str] = no_files) -> Step:
    """One step from `name` or `name:parameter=value,parameter=value`; a comma inside a value is written `\\,`.

    `read_file` gives the text of a file that a value names, or raises ValueError. Raises InvalidRequest: STEP_UNKNOWN
    (and lists the steps there are), or STEP_INVALID for a parameter that the step does not have, that is given twice,
    or whose value is of another type.
    """
    name, colon, rest = text.strip().partition(":")
    parameters = {field.name: field for field in _message_of(name).fields}
    values: dict[str, object] = {}
    for assignment in _COMMA.split(rest) if colon else ():
        key, value = _assignment(name, assignment)
        if key in values:
            raise _invalid(name, f"{key} is given twice")
        field = _parameter(name, key, parameters)
        values[key] = _object(name, field, value, read_file) if field.message_type else _value(name, field, value)
    try:
        return ParseDict({name: values}, Step())
    except ParseError as error:
        raise _invalid(name, str(error).partition(": ")[2] or str(error)) from None


def format_step(step: Step) -> str:
    """A step as `parse_step` reads it."""
    name = step.WhichOneof("kind") or ""
    if not name:
        return ""
    fields = getattr(step, name).ListFields()
    parameters = ",".join(f"{field.name}={_text(field, value)}" for field, value in fields)
    return f"{name}:{parameters}" if parameters else name


def _text(field: FieldDescriptor, value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Message):
        value = MessageToJson(value, indent=None)
    if field.enum_type and isinstance(value, int):
        value = field.enum_type.values_by_number[value].name.removeprefix(f"{_snake(field.enum_type.name)}_").lower()
    return str(value).replace(",", "\\,")


def _snake(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).upper()


def _message_of(name: str) -> Descriptor:
    for field in Step.DESCRIPTOR.oneofs_by_name["kind"].fields:
        if field.name == name:
            message: Descriptor = field.message_type  # every member of the oneof is a message
            return message
    known = ", ".join(step_names())
    raise InvalidRequest(f"there is no step {name!r}; there are: {known}", code=ErrorCode.STEP_UNKNOWN)


def _assignment(step: str, text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise _invalid(
            step, f"{text.strip()!r} is not of the form parameter=value (a comma inside a value is written \\,)"
        )
    return key.strip(), value.strip().replace("\\,", ",")


def _parameter(step: str, key: str, parameters: dict[str, FieldDescriptor]) -> FieldDescriptor:
    if key not in parameters:
        raise _invalid(step, f"there is no parameter {key!r}; there are: {_listed(parameters)}")
    return parameters[key]


def _value(step: str, field: FieldDescriptor, text: str) -> object:
    """The value as JSON has it."""
    kind = field.cpp_type
    if kind in _INTEGERS:
        return _integer(step, field, text)
    if kind in _NUMBERS:
        return _number(step, field, text)
    if kind == FieldDescriptor.CPPTYPE_BOOL:
        return _flag(step, field, text)
    if kind == FieldDescriptor.CPPTYPE_ENUM:
        assert field.enum_type  # noqa: S101 - it is an enum
        return _member(step, field, field.enum_type, text)
    if kind == FieldDescriptor.CPPTYPE_STRING:
        return text
    raise _invalid(step, f"{field.name} cannot be given on a command line")


def _object(step: str, field: FieldDescriptor, text: str, read_file: Callable[[str], str]) -> object:
    try:
        found = json.loads(read_file(text[1:]) if text.startswith("@") else text)
    except ValueError as error:
        hint = "" if text.startswith("@") else f"; a file that holds it is named with @: {field.name}=@{text}"
        raise _invalid(step, f"{field.name} is not JSON: {error}{hint}") from None
    # what an estimate prints holds the list among other things
    return found[field.name] if isinstance(found, dict) and field.name in found else found


def _integer(step: str, field: FieldDescriptor, text: str) -> int:
    try:
        value = int(text)
    except ValueError:
        raise _invalid(step, f"{field.name} must be a whole number, not {text!r}") from None
    if value not in _INTEGERS[field.cpp_type]:
        raise _invalid(step, f"{field.name} cannot be {text}")
    return value


def _number(step: str, field: FieldDescriptor, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise _invalid(step, f"{field.name} must be a number, not {text!r}") from None


def _flag(step: str, field: FieldDescriptor, text: str) -> bool:
    if text.lower() not in _TRUE | _FALSE:
        raise _invalid(step, f"{field.name} must be true or false, not {text!r}")
    return text.lower() in _TRUE


def _member(step: str, field: FieldDescriptor, enum: EnumDescriptor, text: str) -> str:
    """The full name of a member that is written in short: `medium` for `QUALITY_MEDIUM`."""
    for name in enum.values_by_name:
        if text.upper() == name or name.endswith(f"_{text.upper()}"):
            return str(name)
    raise _invalid(step, f"{field.name} must be one of {_listed(_short_names(enum))}, not {text!r}")


def _short_names(enum: EnumDescriptor) -> Iterable[str]:
    names = (name.removeprefix(f"{_snake(enum.name)}_").lower() for name in enum.values_by_name)
    return (name for name in names if name != "unspecified")


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names) or "none"


def _invalid(step: str, what: str) -> InvalidRequest:
    return InvalidRequest(f"{step}: {what}", code=ErrorCode.STEP_INVALID)
