"""Write docs/api.md from the comments of proto/framewire/v1.

python scripts/document_api.py            write it
python scripts/document_api.py --check    fail when it says something else
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from typing import Any

from google.protobuf import descriptor_pool
from google.protobuf.descriptor import EnumDescriptor, FieldDescriptor
from made_page import write_or_compare

from gateway.methods import SERVICES, Method, public_methods
from gateway.openapi.comments import comments, public_files
from gateway.openapi.rules import keywords, rules_of
from gateway.rest.routes import routes_of

PACKAGE = "framewire.v1."

HEAD = """\
# API

Every service, method and message of `framewire.v1`. The same methods are served over gRPC, gRPC-Web and
[REST](rest.md); [errors.md](errors.md) lists the codes. A running gateway serves the same as OpenAPI 3.1 at
`/openapi.json`.

This page is made by `scripts/document_api.py` from the comments in `proto/framewire/v1`.

"""


def main() -> int:
    return write_or_compare("api.md", render, __doc__ or "", source="proto/", script="document_api.py")


def render() -> str:
    """The page."""
    parts = [*addresses(), *services(), *messages()]
    return HEAD + "\n".join(parts).rstrip() + "\n"


def addresses() -> Iterator[str]:
    yield "## Addresses\n"
    yield "| REST | method |\n|---|---|" + "".join(
        f"\n| `{route.verb} {route.path}` | [{method.name}](#{method.name.lower()}) |"
        for method in public_methods()
        for route in routes_of(method)
    )
    yield ""


def services() -> Iterator[str]:
    for service in SERVICES:
        yield f"## {service.name}\n"
        yield said(service.full_name)
        for method in public_methods([service]):
            yield from method_lines(method)


def method_lines(method: Method) -> Iterator[str]:
    yield f"### {method.name}\n"
    yield said(method.full_name.replace("/", "."))
    answer = type_link(method.descriptor.output_type)
    stream = "stream of " if method.streams else ""
    yield f"{type_link(method.descriptor.input_type)} → {stream}{answer}\n"
    yield "".join(f"- `{route.verb} {route.path}`{body_words(route.body)}\n" for route in routes_of(method))


def body_words(body: str) -> str:
    return {"": "", "*": ", the request is the body"}.get(body, f", `{body}` is the body")


def messages() -> Iterator[str]:
    yield "## Messages\n"
    pool = descriptor_pool.Default()
    for file in public_files():
        for message in file.message_type:
            yield from message_lines(pool.FindMessageTypeByName(PACKAGE + message.name))
        for enum in file.enum_type:
            yield from enum_lines(pool.FindEnumTypeByName(PACKAGE + enum.name))


def message_lines(message: Any) -> Iterator[str]:
    yield f"### {message.name}\n"
    yield said(message.full_name)
    if message.fields:
        yield "| field | type | |\n|---|---|---|"
    for field in message.fields:
        words = [cell(comments().get(field.full_name, "")), *rule_words(field)]
        yield f"| `{field.name}` | {kind(field)} | {' '.join(word for word in words if word)} |"
    yield ""


def enum_lines(enum: EnumDescriptor) -> Iterator[str]:
    yield f"### {enum.name}\n"
    yield said(enum.full_name)
    yield "| value | number | |\n|---|---|---|"
    for value in enum.values:
        yield f"| `{value.name}` | {value.number} | {cell(comments().get(f'{enum.full_name}.{value.name}', ''))} |"
    yield ""


def kind(field: FieldDescriptor) -> str:
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        key, value = (field.message_type.fields_by_name[name] for name in ("key", "value"))
        return f"map of {kind(key)} to {kind(value)}"
    name = type_link(field.message_type or field.enum_type) or scalar(field)
    oneof = field.containing_oneof
    if oneof is not None and len(oneof.fields) > 1:
        return f"{name}, one of `{oneof.name}`"
    return f"list of {name}" if field.is_repeated else name


def type_link(part: Any) -> str:
    if part is None:
        return ""
    if part.full_name.startswith(PACKAGE):
        return f"[{part.name}](#{part.name.lower()})"
    return f"`{part.full_name}`"


def scalar(field: FieldDescriptor) -> str:
    name = FieldDescriptor.__dict__.get("TYPE_NAMES", {}).get(field.type)
    return name or next(
        each.removeprefix("TYPE_").lower()
        for each in dir(FieldDescriptor)
        if each.startswith("TYPE_") and getattr(FieldDescriptor, each) == field.type
    )


def rule_words(field: FieldDescriptor) -> Iterator[str]:
    """The rules a comment cannot forget."""
    rules = keywords(rules_of(field))
    rules = rules.get("anyOf", [{}, rules])[1]
    if "enum" in rules:
        yield "One of " + ", ".join(f"`{choice}`" for choice in rules["enum"] if choice != "") + "."
    if "minimum" in rules and "maximum" in rules:
        yield f"`{rules['minimum']}` to `{rules['maximum']}`."
    elif "maximum" in rules:
        yield f"At most `{rules['maximum']}`."
    if "maxLength" in rules:
        yield f"At most {rules['maxLength']} characters."
    if "maxItems" in rules:
        yield f"At most {rules['maxItems']}."


def said(full_name: str) -> str:
    text = comments().get(full_name, "")
    return f"{text}\n" if text else ""


def cell(text: str) -> str:
    """One line that breaks no table."""
    return re.sub(r"\s+", " ", text).replace("|", "\\|")


if __name__ == "__main__":
    sys.exit(main())
