"""Where a command says what it has to say: rich on a terminal, plain lines in a pipe, JSON lines with --json."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping

from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from rich.console import Console, RenderableType

from framewire.errors import FramewireError

_PIPE_WIDTH = 1000


class Screen:
    """Output of one command. Records go to stdout; errors go to stderr in words, and with --json to stdout as well."""

    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json
        self.console = Console(highlight=False, soft_wrap=True, markup=False, emoji=False)
        if not self.console.is_terminal:
            self.console.width = _PIPE_WIDTH  # a pipe has no edge to fold lines at
        self.live = self.console.is_terminal and not as_json
        """Whether there is a terminal whose lines may be drawn over."""

    def show(self, renderable: RenderableType, record: Mapping[str, object]) -> None:
        """One fact: something to read for people, one object a line for programs."""
        if self.as_json:
            _write_line(json.dumps(record, ensure_ascii=False))
        else:
            self.console.print(renderable)

    def words(self, renderable: RenderableType) -> None:
        """Something for people only."""
        if not self.as_json:
            self.console.print(renderable)

    def record(self, record: Mapping[str, object]) -> None:
        """Something for programs only."""
        if self.as_json:
            self.show("", record)

    def error(self, code: str, message: str) -> None:
        """`framewire: CODE: message` on stderr; with --json also `{"error": {"code", "message"}}` on stdout."""
        self.record({"error": {"code": code, "message": message}})
        sys.stderr.write(f"framewire: {code}: {message}\n")

    def failure(self, error: FramewireError) -> None:
        """An error raised on purpose. A message that names the broken rules already is not followed by them."""
        details = [f"{each.field}: {each.description}" for each in error.violations]
        told = all(each.field in error.message for each in error.violations)
        self.error(str(error.code), error.message if told else f"{error.message} ({'; '.join(details)})")


def _write_line(line: str) -> None:
    """To stdout, at once. Ends the command when nobody reads it any more, as rich does with its lines."""
    try:
        sys.stdout.write(line + "\n")
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(1) from None


def as_record(message: Message) -> dict[str, object]:
    """A message as the REST interface writes it."""
    record: dict[str, object] = MessageToDict(message)
    return record
