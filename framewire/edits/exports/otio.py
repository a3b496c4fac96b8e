"""Cuts as an OpenTimelineIO timeline, written by that library itself."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePath
from typing import TYPE_CHECKING

from framewire.edits.edit_list import WHOLE, EditList
from framewire.edits.exports.frames import FrameSpan, on_frames
from framewire.edits.exports.source import SourceFilm
from framewire.errors import ErrorCode, LocalError

if TYPE_CHECKING:
    from opentimelineio import opentime, schema


def otio(edits: EditList, film: SourceFilm) -> bytes:
    """A track of pictures and, where the film has sound, one of sound; a clip a kept part.

    A speed is a `LinearTimeWarp`; a volume stands in the clip's metadata under `framewire`. Raises LocalError
    (TOOL_MISSING) without the library, which is an extra: whoever only runs jobs has no use for it.
    """
    try:
        from opentimelineio import adapters, schema
    except ImportError:
        raise LocalError(
            "OpenTimelineIO is not installed: pip install 'framewire[timeline]'", code=ErrorCode.TOOL_MISSING
        ) from None
    kinds = [schema.TrackKind.Video, *([schema.TrackKind.Audio] if film.has_sound else [])]
    timeline = schema.Timeline(name=film.title)
    for kind in kinds:
        timeline.tracks.append(schema.Track(name=kind, kind=kind, children=list(_clips(edits, film))))
    written: str = adapters.write_to_string(timeline, "otio_json")
    return written.encode()


def _clips(edits: EditList, film: SourceFilm) -> Iterator[schema.Clip]:
    from opentimelineio import schema

    for span in on_frames(edits, film):
        yield schema.Clip(
            name=film.title,
            media_reference=schema.ExternalReference(_url(film.path), available_range=_range(0, film.frames, film)),
            source_range=_range(span.start, span.lasts, film),
            effects=[schema.LinearTimeWarp(time_scalar=float(span.pace))] if span.speed != WHOLE else [],
            metadata=_metadata(span),
        )


def _metadata(span: FrameSpan) -> dict[str, dict[str, float]]:
    return {"framewire": {"volume": float(span.volume)}} if span.volume != WHOLE else {}


def _range(start: int, frames: int, film: SourceFilm) -> opentime.TimeRange:
    from opentimelineio import opentime

    rate = float(film.rate)
    return opentime.TimeRange(opentime.RationalTime(start, rate), opentime.RationalTime(frames, rate))


def _url(path: str) -> str:
    return PurePath(path).as_uri() if PurePath(path).is_absolute() else path
