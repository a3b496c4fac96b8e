"""What protobuf's JSON parser complains of, as a field and a few words.

Failed to parse steps field: Failed to parse scale field: invalid literal for int() with base 10: 'abc'..
--> steps.scale: 'abc' is not a whole number
"""

from __future__ import annotations

import re

from framewire.errors import ErrorCode, InvalidRequest, Violation
from framewire.steps.parse import step_names
from gateway.validation import invalid

_AROUND = re.compile(r"Failed to parse (\w+) field: ")
_AT = re.compile(r'\s+at "?\w+\.?([\w.\[\]]*?)"?\.*$')
_SHOWN = 200  # characters of what a client sent that come back
_WORDS = (
    (re.compile(r"invalid literal for int\(\) with base 10: (.*)"), r"\1 is not a whole number"),
    (re.compile(r'Couldn\'t parse (?:non-)?integer(?: string)?: "?(.*?)"?'), r"'\1' is not a whole number"),
    (re.compile(r"Bool value (\w+) is not acceptable for integer field"), r"\1 is not a whole number"),
    (re.compile(r"could not convert string to float: (.*)"), r"\1 is not a number"),
    (re.compile(r'Message type "[\w.]+" has no field named "(.*)"'), r"there is no field '\1'"),
    (re.compile(r"Invalid enum value (.*) for enum type [\w.]+"), r"there is no value '\1'"),
    (re.compile(r"Value out of range: (.*)"), r"\1 is out of range"),
    (re.compile(r"repeated field \w+ must be in \[\] which is .*"), "must be a list"),
    (re.compile(r"null is not allowed to be used as an element in a repeated field"), "must not be null"),
    (re.compile(r"expected string or bytes-like object.*"), "must be a string"),
    (re.compile(r"'\w+' object is not iterable"), "must be an object"),
    (re.compile(r"unhashable type: .*"), "must be a single value"),
)
_NO_STEP = re.compile(r'Message type "framewire\.v1\.Step" has no field named "(.*?)"')


def refusal(text: str) -> InvalidRequest:
    """The parser's complaint as the error to answer with: STEP_UNKNOWN for a step nobody knows, as on every way in."""
    line = text.splitlines()[0]
    if unknown := _NO_STEP.search(line):
        field, name = _field(line), unknown.group(1)[:_SHOWN]
        words = f"there is no step {name!r}; there are: {', '.join(step_names())}"
        return InvalidRequest(words, code=ErrorCode.STEP_UNKNOWN, violations=[Violation(field, words)])
    return invalid([Violation(_field(line), _words(line))])


def _field(line: str) -> str:
    """The path the parser names, or the names it passed on its way down."""
    at = _AT.search(line)
    return (at.group(1) if at else "") or ".".join(_AROUND.findall(line))


def _words(line: str) -> str:
    plain = _AROUND.sub("", _AT.sub("", line)).rstrip(":. ")
    for pattern, words in _WORDS:
        if found := pattern.fullmatch(plain):
            return found.expand(words)[:_SHOWN]
    return plain[:_SHOWN]
