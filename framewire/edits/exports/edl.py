"""Cuts as an edit decision list, CMX 3600."""

from __future__ import annotations

from collections.abc import Iterator

from framewire.edits.edit_list import WHOLE, EditList
from framewire.edits.exports.frames import FrameSpan, on_frames
from framewire.edits.exports.source import SourceFilm, nearest
from framewire.edits.exports.timecode import is_drop_frame, timecode

_FIRST_HOUR = 3600
"""The result begins at 01:00:00:00, as tapes do; the film at 00:00:00:00."""
_TITLE_MOST = 70


def edl(edits: EditList, film: SourceFilm) -> bytes:
    """One event a kept part, pictures and sound together; a speed is an `M2` line. The format knows no volume.

    The header says whether timecode drops frames. Raises ValueError for more than 99 frames a second.
    """
    spans = on_frames(edits, film)
    counting = "DROP FRAME" if is_drop_frame(film.rate) else "NON-DROP FRAME"
    lines = [f"TITLE: {_plain(film.title)[:_TITLE_MOST]}", f"FCM: {counting}", ""]
    for number, span in enumerate(spans, 1):
        lines.extend(_event(number, span, film))
    return "\r\n".join([*lines, ""]).encode("ascii")


def _event(number: int, span: FrameSpan, film: SourceFilm) -> Iterator[str]:
    first = _first_frame(film)
    moments = (span.start, span.end, first + span.begins, first + span.ends)
    times = " ".join(timecode(moment, film.rate) for moment in moments)
    yield f"{number:03}  AX       {_channels(film):<5} C        {times}"
    if span.speed != WHOLE:
        pace = float(span.pace * nearest(film.rate))
        yield f"M2   AX       {pace:05.1f}                {timecode(span.start, film.rate)}"
    yield f"* FROM CLIP NAME: {_plain(film.name)}"
    yield ""


def _first_frame(film: SourceFilm) -> int:
    """The frame whose timecode is 01:00:00:00."""
    base = nearest(film.rate)
    return base * _FIRST_HOUR - (base // 15 * 54 if is_drop_frame(film.rate) else 0)


def _channels(film: SourceFilm) -> str:
    """`V` pictures, `B` with one channel of sound, `AA/V` with two or more."""
    return {0: "V", 1: "B"}.get(film.channels, "AA/V")


def _plain(text: str) -> str:
    """In the characters the format has: what is not ASCII becomes `_`."""
    return "".join(letter if letter.isascii() and letter.isprintable() else "_" for letter in text)
