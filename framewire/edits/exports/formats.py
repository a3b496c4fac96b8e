"""The formats, by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from framewire.edits.edit_list import EditList
from framewire.edits.exports.auto_editor import auto_editor
from framewire.edits.exports.chapters import ffmetadata, webvtt
from framewire.edits.exports.edl import edl
from framewire.edits.exports.fcpxml import fcpxml
from framewire.edits.exports.otio import otio
from framewire.edits.exports.source import SourceFilm
from framewire.errors import InvalidRequest
from framewire.v1 import job_pb2
from framewire.v1.job_pb2 import CutFormat


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportFormat:
    """One format."""

    name: str
    """On the command line."""
    wire: CutFormat.ValueType
    """In the contract."""
    ending: str
    """Of a file's name, with its dot."""
    media_type: str
    description: str
    write: Callable[[EditList, SourceFilm], bytes]


FORMATS: Mapping[str, ExportFormat] = {
    each.name: each
    for each in (
        ExportFormat(
            name="auto-editor",
            wire=job_pb2.CUT_FORMAT_AUTO_EDITOR,
            ending=".json",
            media_type="application/json",
            description="auto-editor's timeline, version 1",
            write=auto_editor,
        ),
        ExportFormat(
            name="edl",
            wire=job_pb2.CUT_FORMAT_EDL,
            ending=".edl",
            media_type="text/plain",
            description="edit decision list, CMX 3600",
            write=edl,
        ),
        ExportFormat(
            name="fcpxml",
            wire=job_pb2.CUT_FORMAT_FCPXML,
            ending=".fcpxml",
            media_type="application/xml",
            description="Final Cut Pro X, DaVinci Resolve",
            write=fcpxml,
        ),
        ExportFormat(
            name="otio",
            wire=job_pb2.CUT_FORMAT_OTIO,
            ending=".otio",
            media_type="application/json",
            description="OpenTimelineIO",
            write=otio,
        ),
        ExportFormat(
            name="ffmetadata",
            wire=job_pb2.CUT_FORMAT_FFMETADATA,
            ending=".txt",
            media_type="text/plain",
            description="chapters at the cuts, for FFmpeg",
            write=ffmetadata,
        ),
        ExportFormat(
            name="webvtt",
            wire=job_pb2.CUT_FORMAT_WEBVTT,
            ending=".vtt",
            media_type="text/vtt",
            description="chapters at the cuts, for players on pages",
            write=webvtt,
        ),
    )
}


def export_format(name: str) -> ExportFormat:
    """The format of this name. Raises InvalidRequest."""
    if name not in FORMATS:
        raise InvalidRequest(f"there is no export format {name!r}; there are {', '.join(FORMATS)}")
    return FORMATS[name]


def export(edits: EditList, film: SourceFilm, name: str) -> bytes:
    """The cut list as a file of this format.

    Raises InvalidRequest for a format that is not there or cannot say this, LocalError (TOOL_MISSING) for `otio`
    without its library.
    """
    chosen = export_format(name)
    try:
        return chosen.write(edits, film)
    except ValueError as error:
        raise InvalidRequest(f"this cut list cannot be written as {name}: {error}") from None
