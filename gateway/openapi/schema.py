"""Messages as JSON Schema: protobuf's JSON mapping, the contract's comments and its rules."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor

from framewire._buf.validate import validate_pb2
from gateway.openapi.comments import comments
from gateway.openapi.rules import is_required, keywords, numbers_as_text, rules_of

Schema = dict[str, Any]
_INT32, _INT64 = {"type": "integer", "format": "int32"}, {"type": "string", "format": "int64"}
_LIMITS = {
    FieldDescriptor.CPPTYPE_INT32: (-(2**31), 2**31 - 1),
    FieldDescriptor.CPPTYPE_UINT32: (0, 2**32 - 1),
}
_SIGNED_64 = FieldDescriptor.CPPTYPE_INT64
_WELL_KNOWN: Mapping[str, Schema] = {
    "google.protobuf.Timestamp": {
        "type": "string",
        "format": "date-time",
        # protobuf's own form: upper-case letters, up to nanoseconds, no leap second
        "pattern": r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-5][0-9](\.[0-9]{1,9})?(Z|[+-][0-9]{2}:[0-9]{2})$",
    },
    "google.protobuf.Duration": {"type": "string", "pattern": r"^-?[0-9]{1,12}(\.[0-9]{1,9})?s$"},
    "google.protobuf.FieldMask": {"type": "string"},
    "google.protobuf.Empty": {"type": "object", "additionalProperties": False},
    "google.protobuf.Struct": {"type": "object"},
    "google.protobuf.Value": {},
    "google.protobuf.ListValue": {"type": "array"},
    "google.protobuf.Any": {
        "type": "object",
        "properties": {"@type": {"type": "string"}},
        "required": ["@type"],
        "additionalProperties": True,
    },
}


class Schemas:
    """Collects the component schemas that are asked for. Those that a client sends refuse what the server refuses."""

    def __init__(self, sent: Iterable[Descriptor]) -> None:
        self.components: dict[str, Schema] = {}
        self._sent = _reachable(sent)

    def reference(self, message: Descriptor) -> Schema:
        """A schema for a message: a reference, and the component it refers to."""
        if message.full_name in _WELL_KNOWN:
            return dict(_WELL_KNOWN[message.full_name])
        name = component_name(message)
        if name not in self.components:
            self.components[name] = {}
            self.components[name] = self._message(message)
        return {"$ref": f"#/components/schemas/{name}"}

    def value(self, field: FieldDescriptor, rules: Any | None = None) -> Schema:
        """The schema of one value of a field."""
        said = keywords(rules_of(field) if rules is None else rules)
        if field.message_type is not None:
            return self.reference(field.message_type)
        if field.enum_type is not None:
            return self._enum(field.enum_type, rules_of(field) if rules is None else rules)
        return _SCALARS[field.cpp_type](field, said)

    def _message(self, message: Descriptor) -> Schema:
        sent = message.full_name in self._sent
        schema: Schema = {"type": "object", **described(message.full_name)}
        schema["properties"] = {field.json_name: self._field(field, sent=sent) for field in message.fields}
        if sent:
            schema["additionalProperties"] = False
            if required := [field.json_name for field in message.fields if is_required(field)]:
                schema["required"] = required
            for oneof in message.oneofs:
                if oneof.GetOptions().Extensions[validate_pb2.oneof].required:
                    schema["oneOf"] = [_exactly(field) for field in oneof.fields]
        return schema

    def _field(self, field: FieldDescriptor, *, sent: bool) -> Schema:
        schema = self._shape(field)
        if sent and not is_required(field) and field.containing_oneof is None:
            schema = _or_null(schema)  # protobuf's JSON: null is a field that is not set
        words = described(field.full_name)
        if "$ref" in schema and words:
            return {**schema, **words}  # 3.1 allows siblings of $ref
        return {**schema, **words}

    def _shape(self, field: FieldDescriptor) -> Schema:
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            return {"type": "object", "additionalProperties": self.value(field.message_type.fields_by_name["value"])}
        if field.is_repeated:
            rules = rules_of(field)
            items = self.value(field, rules.repeated.items if rules.WhichOneof("type") == "repeated" else None)
            return {"type": "array", "items": items, **keywords(rules)}
        return self.value(field)

    def _enum(self, enum: EnumDescriptor, rules: Any) -> Schema:
        if list(rules.enum.not_in):
            return _choices(enum, refused=set(rules.enum.not_in))
        name = component_name(enum)
        self.components.setdefault(name, _choices(enum, refused=set()))
        return {"$ref": f"#/components/schemas/{name}"}


def component_name(part: Descriptor | EnumDescriptor) -> str:
    """`framewire.v1.Job` -> `Job`, `google.rpc.Status` -> `google.rpc.Status`."""
    return str(part.full_name).removeprefix("framewire.v1.")


def described(full_name: str) -> Schema:
    """The comment as a description, where there is one."""
    text = comments().get(full_name)
    return {"description": text} if text else {}


def _exactly(field: Any) -> Schema:  # the stubs do not know json_name
    return {"required": [field.json_name], "properties": {field.json_name: {"type": "object"}}}


def _choices(enum: EnumDescriptor, refused: set[int]) -> Schema:
    """By name or by number, as protobuf's JSON takes them; answers have the name."""
    values = [value for value in enum.values if value.number not in refused]
    lines = [described(enum.full_name).get("description", ""), *(_value_line(enum, value.name) for value in values)]
    words = "\n".join(line for line in lines if line)
    schema: Schema = {"enum": [*(value.name for value in values), *(value.number for value in values)]}
    return {"type": ["string", "integer"], **schema, **({"description": words} if words else {})}


def _value_line(enum: EnumDescriptor, name: str) -> str:
    scope = enum.full_name
    text = comments().get(f"{scope}.{name}", "").replace("\n", " ")
    return f"- `{name}`: {text}" if text else f"- `{name}`"


def _or_null(schema: Schema) -> Schema:
    kind = schema.get("type")
    if isinstance(kind, str) and "enum" not in schema and "anyOf" not in schema:
        return {**schema, "type": [kind, "null"]}
    return {"anyOf": [schema, {"type": "null"}]}


def _reachable(messages: Iterable[Descriptor]) -> set[str]:
    found: set[str] = set()
    todo = list(messages)
    while todo:
        message = todo.pop()
        if message.full_name not in found:
            found.add(message.full_name)
            todo += [field.message_type for field in message.fields if field.message_type is not None]
    return found


def _small(field: FieldDescriptor, said: Schema) -> Schema:
    least, most = _LIMITS[field.cpp_type]
    if "anyOf" in said or "enum" in said:
        return {**_INT32, **said}
    return {**_INT32, "minimum": least, "maximum": most, **said}


def _large(field: FieldDescriptor, said: Schema) -> Schema:
    """A string in answers; a number is taken too."""
    text = numbers_as_text(said, signed=field.cpp_type == _SIGNED_64)
    least = -(2**63) if field.cpp_type == _SIGNED_64 else 0
    most = 2**63 - 1 if field.cpp_type == _SIGNED_64 else 2**64 - 1
    number = {"type": "integer", "minimum": least, "maximum": most, **said}
    return {"anyOf": [{**_INT64, "pattern": text}, number]}


def _real(field: FieldDescriptor, said: Schema) -> Schema:
    return {"type": "number", "format": "double", **said}


def _text(field: FieldDescriptor, said: Schema) -> Schema:
    if field.type == FieldDescriptor.TYPE_BYTES:
        return {"type": "string", "format": "byte", "contentEncoding": "base64"}
    return {"type": "string", **said}


def _bool(field: FieldDescriptor, said: Schema) -> Schema:
    return {"type": "boolean"}


_SCALARS: Mapping[int, Callable[[FieldDescriptor, Schema], Schema]] = {
    FieldDescriptor.CPPTYPE_INT32: _small,
    FieldDescriptor.CPPTYPE_UINT32: _small,
    FieldDescriptor.CPPTYPE_INT64: _large,
    FieldDescriptor.CPPTYPE_UINT64: _large,
    FieldDescriptor.CPPTYPE_DOUBLE: _real,
    FieldDescriptor.CPPTYPE_FLOAT: _real,
    FieldDescriptor.CPPTYPE_BOOL: _bool,
    FieldDescriptor.CPPTYPE_STRING: _text,
}
