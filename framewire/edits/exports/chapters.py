"""A chapter for each kept part: in the result's time, where the cuts are."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

from framewire.edits.edit_list import EditList
from framewire.edits.exports.source import SourceFilm, nearest

_SPECIAL = str.maketrans({letter: f"\\{letter}" for letter in "\\=;#\n"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Chapter:
    """From `start` to before `end`, in seconds of the result."""

    start: Fraction
    end: Fraction
    title: str


def chapters(edits: EditList) -> Iterator[Chapter]:
    """In order, without gaps; the title says where in the film the part was. Sums are exact."""
    passed = Fraction(0)
    for number, span in enumerate(edits.spans, 1):
        begins, passed = passed, passed + span.seconds
        yield Chapter(start=begins, end=passed, title=f"Part {number} (from {_clock(span.start)})")


def ffmetadata(edits: EditList, film: SourceFilm) -> bytes:
    """For FFmpeg: `ffmpeg -i result.mp4 -i chapters.txt -map_chapters 1 -c copy ...`."""
    lines = [";FFMETADATA1", f"title={film.title.translate(_SPECIAL)}"]
    for chapter in chapters(edits):
        start, end = (nearest(moment * 1000) for moment in (chapter.start, chapter.end))
        lines += ["[CHAPTER]", "TIMEBASE=1/1000", f"START={start}", f"END={end}"]
        lines.append(f"title={chapter.title.translate(_SPECIAL)}")
    return ("\n".join(lines) + "\n").encode()


def webvtt(edits: EditList, film: SourceFilm) -> bytes:
    """For players on pages: `<track kind="chapters" src="chapters.vtt">`."""
    del film  # chapters are in the result's time
    cues = [
        f"{number}\n{_stamp(chapter.start)} --> {_stamp(chapter.end)}\n{chapter.title}\n"
        for number, chapter in enumerate(chapters(edits), 1)
    ]
    return "\n".join(["WEBVTT\n", *cues]).encode()


def _clock(seconds: Fraction) -> str:
    """`1:02:03.4`, `2:03.4`."""
    tenths = nearest(seconds * 10)
    minutes, rest = divmod(tenths, 600)
    hours, minutes = divmod(minutes, 60)
    return (f"{hours}:{minutes:02}" if hours else str(minutes)) + f":{rest // 10:02}.{rest % 10}"


def _stamp(seconds: Fraction) -> str:
    """`00:02:03.456`."""
    minutes, rest = divmod(nearest(seconds * 1000), 60_000)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{rest // 1000:02}.{rest % 1000:03}"
