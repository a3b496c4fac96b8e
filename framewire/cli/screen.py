"""Where a command says what it has to say: rich on a terminal, plain lines in a pipe, JSON lines with --json."""

from __future__ import annotations

import codecs
import contextlib
import json
import os
import re
import sys
from collections.abc import Iterator, Mapping

from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from rich.console import Console, RenderableType
from rich.measure import Measurement
from rich.table import Table

from framewire.errors import ErrorCode, FramewireError, LocalError
from framewire.v1.job_pb2 import Event, Preview

_PIPE_WIDTH = 1000
_NO_TEXT = re.compile("[\ud800-\udfff]")


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
            with _output():
                _write_line(json_line(record, sys.stdout.encoding))
        else:
            self.words(renderable)

    def words(self, renderable: RenderableType) -> None:
        """Something for people only."""
        if not self.as_json:
            with _output():
                self.console.print(renderable)

    def record(self, record: Mapping[str, object]) -> None:
        """Something for programs only."""
        if self.as_json:
            self.show("", record)

    def warn(self, text: str) -> None:
        """`framewire: warning: text` on stderr, for people only; nothing when there is no text."""
        if text and not self.as_json:
            sys.stderr.write(f"framewire: warning: {text}\n")

    def error(self, code: str, message: str) -> None:
        """`framewire: CODE: message` on stderr; with --json also `{"error": {"code", "message"}}` on stdout."""
        with contextlib.suppress(LocalError):  # that stdout cannot be written to may be what is to be said
            self.record({"error": {"code": code, "message": message}})
        sys.stderr.write(f"framewire: {code}: {message}\n")

    def failure(self, error: FramewireError) -> None:
        """An error raised on purpose, with those of the broken rules that its message does not tell of."""
        untold = [
            f"{each.field}: {each.description}"
            for each in error.violations
            if each.field not in error.message and each.description not in error.message
        ]
        self.error(str(error.code), f"{error.message} ({'; '.join(untold)})" if untold else error.message)


@contextlib.contextmanager
def _output() -> Iterator[None]:
    """Raises LocalError (FILE_UNWRITABLE) when stdout takes no more, other than because its reader has gone."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise output_lost(error) from None


def output_lost(error: OSError) -> LocalError:
    """What is said when stdout takes no more."""
    return LocalError(f"cannot write to stdout: {error.strerror or error}", code=ErrorCode.FILE_UNWRITABLE)


def json_line(record: Mapping[str, object], encoding: str) -> str:
    """A record as one line of JSON that can be written in `encoding`.

    What is no text, as in a file name that is not UTF-8, becomes U+FFFD.
    """
    line = _NO_TEXT.sub("\ufffd", json.dumps(record, ensure_ascii=False))
    return line if codecs.lookup(encoding).name == "utf-8" else json.dumps(json.loads(line))


def _write_line(line: str) -> None:
    """To stdout, at once. Ends the command when nobody reads it any more, as rich does with its lines."""
    try:
        sys.stdout.write(line + "\n")
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(1) from None


def whole(table: Table) -> Table:
    """The table as wide as what is in it: on a narrow terminal a line goes on below, and no id is ever cut."""
    wide = Console(width=_PIPE_WIDTH)
    table.width = Measurement.get(wide, wide.options, table).maximum
    return table


def event_record(event: Event) -> dict[str, object]:
    """An event as the REST interface writes it, but for the pictures of a preview: a line is to be read."""
    if event.WhichOneof("kind") == "preview":
        position = Preview(position=event.preview.position)
        plain = Event()
        plain.CopyFrom(event)
        plain.preview.CopyFrom(position)
        event = plain
    return as_record(event)


def as_record(message: Message) -> dict[str, object]:
    """A message as the REST interface writes it."""
    record: dict[str, object] = MessageToDict(message)
    return record
