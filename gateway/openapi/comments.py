"""The comments of the .proto files, by full name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from importlib import resources
from typing import Any

from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet

# numbers of the fields that lead from a file to its parts (google/protobuf/descriptor.proto)
_MESSAGES, _ENUMS, _SERVICES = 4, 5, 6
_FIELDS, _NESTED, _NESTED_ENUMS, _ONEOFS = 2, 3, 4, 8
_VALUES = _METHODS = 2
_PUBLIC = "framewire/v1/"


@cache
def public_files() -> tuple[FileDescriptorProto, ...]:
    """The public contract with its comments, as protoc wrote it down."""
    data = resources.files("framewire.v1").joinpath("api.binpb").read_bytes()
    files = FileDescriptorSet.FromString(data).file
    return tuple(file for file in files if file.name.startswith(_PUBLIC))


@cache
def comments() -> Mapping[str, str]:
    """`framewire.v1.Job.job_id` -> its comment. Names without a comment are missing."""
    return {name: text for file in public_files() for name, text in comments_of(file)}


def comments_of(file: FileDescriptorProto) -> Iterator[tuple[str, str]]:
    """Full name and comment of everything in a file that has one."""
    said = {
        tuple(each.path): each.leading_comments or each.trailing_comments for each in file.source_code_info.location
    }
    for path, name in _parts(file):
        if text := said.get(path):
            yield name, _plain(text)


def _parts(file: FileDescriptorProto) -> Iterator[tuple[tuple[int, ...], str]]:
    yield from _messages(file.message_type, (_MESSAGES,), file.package)
    yield from _enums(file.enum_type, (_ENUMS,), file.package)
    for number, service in enumerate(file.service):
        yield from _named(service, (_SERVICES, number), file.package, service.method, _METHODS)


def _messages(messages: Sequence[Any], at: tuple[int, ...], scope: str) -> Iterator[tuple[tuple[int, ...], str]]:
    for number, message in enumerate(messages):
        path, name = (*at, number), f"{scope}.{message.name}"
        yield from _named(message, path, scope, message.field, _FIELDS)
        yield from (((*path, _ONEOFS, index), f"{name}.{each.name}") for index, each in enumerate(message.oneof_decl))
        yield from _messages(message.nested_type, (*path, _NESTED), name)
        yield from _enums(message.enum_type, (*path, _NESTED_ENUMS), name)


def _enums(enums: Sequence[Any], at: tuple[int, ...], scope: str) -> Iterator[tuple[tuple[int, ...], str]]:
    for number, enum in enumerate(enums):
        yield from _named(enum, (*at, number), scope, enum.value, _VALUES)


def _named(
    part: Any, path: tuple[int, ...], scope: str, members: Sequence[Any], kind: int
) -> Iterator[tuple[tuple[int, ...], str]]:
    """A part and its members: fields, values, methods."""
    yield path, f"{scope}.{part.name}"
    for number, member in enumerate(members):
        yield (*path, kind, number), f"{scope}.{part.name}.{member.name}"


def _plain(comment: str) -> str:
    """Without the space that follows each `//`; a blank line stays one."""
    lines = [line.removeprefix(" ").rstrip() for line in comment.strip("\n").splitlines()]
    return "\n".join(lines).strip()
