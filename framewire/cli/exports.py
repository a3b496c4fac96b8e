"""Writing a cut list for other programs: `--export FORMAT=FILE`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click

from framewire.cli.files import check_output
from framewire.edits.exports import FORMATS, export, film_of
from framewire.edits.wire import cut_list_from_proto
from framewire.errors import ErrorCode, LocalError
from framewire.v1.job_pb2 import EstimateJobResponse

_Command = TypeVar("_Command", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True, kw_only=True)
class Export:
    """A file that is asked for."""

    name: str
    """The format's."""
    path: Path


def export_option(command: _Command) -> _Command:
    """`--export FORMAT=FILE`, given to the command as `exports`."""
    return click.option(
        "--export",
        "exports",
        metavar="FORMAT=FILE",
        multiple=True,
        callback=lambda _context, _parameter, texts: tuple(_read(text) for text in texts),
        help=f"Write what is kept for another program: {', '.join(FORMATS)}. Repeat it for more.",
    )(command)


def _read(text: str) -> Export:
    name, equals, path = text.partition("=")
    if name not in FORMATS or not equals or not path:
        raise click.BadParameter(f"{text!r} is not of the form FORMAT=FILE, with one of {', '.join(FORMATS)}")
    return Export(name=name, path=Path(path))


def check_exports(exports: Sequence[Export], clip: Path) -> None:
    """Raises LocalError (FILE_UNWRITABLE) unless all of them can be written without touching `clip`."""
    for each in exports:
        check_output(each.path, clip)


def write_exports(exports: Sequence[Export], answer: EstimateJobResponse, clip: Path) -> None:
    """Write what an estimate keeps; the files name the clip by its whole path, so that programs find it.

    Raises LocalError (FILE_UNWRITABLE, TOOL_MISSING), InvalidRequest where a format cannot say it.
    """
    if not exports:
        return
    cuts = [step.cut.cuts for step in answer.steps if step.HasField("cut")]
    if not cuts:
        raise LocalError("there is nothing to export: no cut_silence among the steps", code=ErrorCode.FILE_UNWRITABLE)
    film = film_of(answer.input, str(clip.absolute()))
    for each in exports:
        data = export(cut_list_from_proto(cuts[0]), film, each.name)
        try:
            each.path.write_bytes(data)
        except OSError as error:
            message = f"cannot write {each.path}: {error.strerror}"
            raise LocalError(message, code=ErrorCode.FILE_UNWRITABLE) from None
