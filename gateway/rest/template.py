"""Path templates of google.api.http, as regular expressions over a path as it came, still percent-encoded.

/v1/{parent=projects/*}/files/{path=**}:read
Template = "/" Segments [":" VERB];  Segment = "*" | "**" | LITERAL | "{" field.path ["=" Segments] "}"
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import unquote

_TOKEN = re.compile(r"(?P<slash>/)|(?P<deep>\*\*)|(?P<star>\*)|(?P<open>\{)|(?P<close>\})|(?P<word>[^/{}*]+)")
_VERB = re.compile(r":(?P<verb>[A-Za-z][A-Za-z0-9_-]*)$")
_FIELD = re.compile(r"([a-z_][A-Za-z0-9_]*(?:\.[a-z_][A-Za-z0-9_]*)*)(=?)")
_ENCODED_SLASH = re.compile(r"(%2[fF])")
_LITERAL, _STAR, _DEEP = 0, 1, 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """A compiled template."""

    text: str
    pattern: re.Pattern[str]
    verb: str
    """What stands behind the last colon; empty without one."""
    variables: Mapping[str, bool]
    """Field path -> whether it may span several segments."""
    rank: tuple[object, ...]
    """Templates in this order are tried from the most to the least specific."""

    def match(self, raw_path: str) -> dict[str, str] | None:
        """The variables' values, decoded; None when the path is another. Raises ValueError when they are no UTF-8."""
        found = self.pattern.fullmatch(raw_path)
        if found is None:
            return None
        values = zip(self.variables.items(), found.groups(), strict=True)
        return {name: _decoded(value or "", several=several) for (name, several), value in values}


def compile_template(text: str) -> Template:
    """Raises ValueError for what is no template."""
    verb = _VERB.search(text.rpartition("}")[2] or text)
    path = text[: -len(verb.group())] if verb else text
    parser = _Parser(path)
    regex = parser.segments(nested=False)
    if parser.rest:
        raise ValueError(f"{text}: {parser.rest!r} is not expected")
    tail = re.escape(verb.group()) if verb else ""
    kinds = tuple(parser.kinds)
    return Template(
        text=text,
        pattern=re.compile(regex + tail),
        verb=verb.group("verb") if verb else "",
        variables=parser.variables,
        rank=(verb is None, _DEEP in kinds, kinds, -len(kinds)),
    )


class _Parser:
    def __init__(self, path: str) -> None:
        self.rest = path
        self.variables: dict[str, bool] = {}
        self.kinds: list[int] = []

    def segments(self, *, nested: bool) -> str:
        """Segments up to the end, or to the brace that closes a variable; each with the slash before it."""
        first = not nested
        regex = self._segment() if nested else ""
        while self.rest.startswith("/") or first:
            self._take("slash")
            first = False
            regex += self._after_slash()
        return regex

    def _after_slash(self) -> str:
        """A `**` may be nothing at all, and then its slash is not there either."""
        if self.rest.startswith("**") or re.match(r"\{[^=}]+=\*\*\}", self.rest):
            return f"(?:/{self._segment()})?"
        return "/" + self._segment()

    def _segment(self) -> str:
        if _DEEP in self.kinds:
            raise ValueError("nothing may follow **")
        if self.rest.startswith("{"):
            return self._variable()
        if self.rest.startswith("**"):
            self._take("deep")
            self.kinds.append(_DEEP)
            return ".*"
        if self.rest.startswith("*"):
            self._take("star")
            self.kinds.append(_STAR)
            return "[^/]+"
        self.kinds.append(_LITERAL)
        return re.escape(self._take("word"))

    def _variable(self) -> str:
        self._take("open")
        named = _FIELD.match(self.rest)
        if named is None or named.group(1) in self.variables:
            raise ValueError(f"{self.rest!r} names no field, or one that was named before")
        self.rest = self.rest[named.end() :]
        before = len(self.kinds)
        if named.group(2):
            regex = self.segments(nested=True)
        else:
            regex = "[^/]+"
            self.kinds.append(_STAR)
        self._take("close")
        self.variables[named.group(1)] = len(self.kinds) - before > 1 or _DEEP in self.kinds[before:]
        return f"({regex})"

    def _take(self, kind: str) -> str:
        found = _TOKEN.match(self.rest)
        if found is None or found.lastgroup != kind:
            raise ValueError(f"expected a {kind} before {self.rest!r}")
        self.rest = self.rest[found.end() :]
        return found.group()


def _decoded(value: str, *, several: bool) -> str:
    """One segment is decoded wholly; in several an encoded slash stays encoded: it is no separator."""
    if not several:
        return unquote(value, errors="strict")
    pieces = _ENCODED_SLASH.split(value)
    return "".join(piece if number % 2 else unquote(piece, errors="strict") for number, piece in enumerate(pieces))
