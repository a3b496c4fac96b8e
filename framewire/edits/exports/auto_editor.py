"""Cuts as auto-editor's timeline, version 1: `auto-editor cuts.json` renders it."""

from __future__ import annotations

import json

from framewire.edits.edit_list import EditList
from framewire.edits.exports.frames import on_frames
from framewire.edits.exports.source import SourceFilm

CUT = 99999.0
"""The speed that leaves a part out."""


def auto_editor(edits: EditList, film: SourceFilm) -> bytes:
    """`{"version": "1", "source": path, "chunks": [[start, end, speed], ...]}`; frames, all of the film without gaps.

    The format knows no volume: parts that only sound otherwise are kept as they are.
    """
    timeline = {"version": "1", "source": film.path, "chunks": chunks(edits, film)}
    return json.dumps(timeline, indent=2).encode()


def chunks(edits: EditList, film: SourceFilm) -> list[tuple[int, int, float]]:
    """First frame, the frame behind the last, speed."""
    found: list[tuple[int, int, float]] = []
    position = 0
    for span in on_frames(edits, film):
        if position < span.start:
            found.append((position, span.start, CUT))
        found.append((span.start, span.end, float(span.speed)))
        position = span.end
    if position < film.frames:
        found.append((position, film.frames, CUT))
    return found
