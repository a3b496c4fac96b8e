"""How a file describes itself, and what of that a result kept."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from av.audio.stream import AudioStream
from av.container import InputContainer
from av.stream import Disposition, Stream

from coordinator.media.colour import MATRIX_NAMES
from coordinator.media.cut.timeline import ResultTime, moved_chapters
from coordinator.media.limits import MediaLimits
from coordinator.media.open import main_video, open_input
from coordinator.media.passengers import choose_passengers
from coordinator.media.probe import VideoFacts, codec_name, rotation
from coordinator.media.sound.encoders import choose_sound_encoding
from coordinator.media.tracks import QUICKTIME_LANGUAGES, kept_tags, track_tags
from coordinator.media.words import shortened
from framewire.v1.job_pb2 import TagFidelity

if TYPE_CHECKING:
    from av.container.core import Chapter  # PyAV has it in its stubs only

_PRIMARIES = {
    1: "BT.709",
    2: "",
    4: "BT.470M",
    5: "BT.470BG",
    6: "SMPTE 170M",
    7: "SMPTE 240M",
    9: "BT.2020",
    11: "DCI-P3",
    12: "Display P3",
}
_TRANSFERS = {
    1: "BT.709",
    2: "",
    4: "gamma 2.2",
    5: "gamma 2.8",
    6: "SMPTE 170M",
    7: "SMPTE 240M",
    8: "linear",
    13: "sRGB",
    14: "BT.2020 10 bit",
    15: "BT.2020 12 bit",
    16: "PQ",
    18: "HLG",
}
_RANGES = {1: "limited", 2: "full"}
_MOST_TAGS = 200
"""Words about a film that are told one by one; a file may hold a hundred thousand."""
_HANDLERS = {"handler_name", "vendor_id", "language", "filename", "mimetype", "timecode"}
"""Tags of tracks that are not words about the film, or are told on their own."""


@dataclass(frozen=True, slots=True)
class Tag:
    """One property: in words, and what it is compared by."""

    words: str
    value: object = None

    @property
    def key(self) -> object:
        """Equal for what means the same."""
        return self.words if self.value is None else self.value


def compare_tags(
    before: Path,
    after: Path,
    source: VideoFacts,
    result: VideoFacts,
    limits: MediaLimits,
    *,
    time: ResultTime | None = None,
) -> list[TagFidelity]:
    """What the input says of itself, beside what the result says. Raises MediaError.

    `time`: when the film's moments come in the result, where that was changed.
    Long words are told by their beginning, and of very many tags the last ones as a number, but all are compared: a
    report has to fit into an event.
    """
    with open_input(before, limits) as film, open_input(after, limits) as made:
        old, new = _describe(film, source, limits, made, time), _describe(made, result, limits, None)
    return list(_bounded(_compared(old, new)))


def _bounded(tags: Iterator[TagFidelity]) -> Iterator[TagFidelity]:
    """All of them, but no more than _MOST_TAGS of those that are words; the rest as one."""
    told, rest, lost = 0, 0, 0
    for tag in tags:
        told += (words := _is_of_words(tag.name))
        if not words or told <= _MOST_TAGS:
            yield tag
        else:
            rest, lost = rest + 1, lost + (not tag.kept)
    if rest:
        yield TagFidelity(name="more metadata", before=f"{rest} tags", after=f"{rest - lost} the same", kept=not lost)


def _is_of_words(name: str) -> bool:
    return name.startswith(("metadata", "video metadata"))


def _compared(old: Mapping[str, Tag], new: Mapping[str, Tag]) -> Iterator[TagFidelity]:
    nothing = Tag("")
    for name in [*old, *(name for name in new if name not in old)]:
        one, other = old.get(name, nothing), new.get(name, nothing)
        if one.words or (other.words and not _is_of_words(name)):
            before, after = shortened(one.words), shortened(other.words)
            yield TagFidelity(name=shortened(name), before=before, after=after, kept=one.key == other.key)


def _describe(
    film: InputContainer,
    facts: VideoFacts,
    limits: MediaLimits,
    made: InputContainer | None,
    time: ResultTime | None = None,
) -> dict[str, Tag]:
    video = main_video(film, limits)
    tags = dict(_of_picture(facts))
    tags["chapters"] = _chapters(moved_chapters(film.chapters(), time) if time else film.chapters())
    tags["timecode"] = Tag(_lowered(video.metadata).get("timecode", ""))
    for key, value in _words(film.metadata).items():
        tags[f"metadata {key}"] = Tag(value)
    for key, value in _words(track_tags(video.metadata)).items():
        tags[f"video metadata {key}"] = Tag(value)
    tags["video language"] = _language(video)
    tags["video disposition"] = _disposition(video)
    tracks = _carried(film, made, limits, edited=time is not None)
    for kind in ("audio", "subtitle"):
        for number, track in enumerate((track for track in tracks if track.type == kind), start=1):
            tags.update({f"{kind} {number} {name}": tag for name, tag in _of_track(track)})
    return tags


def _carried(film: InputContainer, made: InputContainer | None, limits: MediaLimits, *, edited: bool) -> list[Stream]:
    """The tracks of the input that are in the result, or those of the result, without the main video."""
    video = main_video(film, limits)
    if made is None:
        return [stream for stream in film.streams if stream.index != video.index]
    encode = choose_sound_encoding if edited else None
    aboard = choose_passengers(film, video, wanted=_container(made), refuse=False, encode=encode)
    kept = {*aboard.copied, *dict(aboard.converted), *dict(aboard.rendered)}
    return [stream for stream in film.streams if stream.index in kept]


def _container(made: InputContainer) -> str:
    """What somebody would have asked for to get this file."""
    if "matroska" in made.format.name:
        return "mkv"
    return "mov" if made.metadata.get("major_brand", "").strip() == "qt" else "mp4"


def _of_picture(facts: VideoFacts) -> Iterator[tuple[str, Tag]]:
    colour, matrix = facts.colour, facts.display_matrix
    turned = f"{rotation(matrix)} degrees" if matrix else ""
    yield "rotation", Tag(turned, (*matrix[:6], matrix[8]) if matrix else (1 << 16, 0, 0, 0, 1 << 16, 0, 1 << 30))
    aspect = facts.sample_aspect_ratio
    shape = f"{aspect.numerator}:{aspect.denominator}" if aspect else ""
    yield "sample aspect ratio", Tag(shape, aspect or Fraction(1))
    yield "colour matrix", Tag(MATRIX_NAMES.get(colour.tag, str(colour.tag)))
    yield "colour range", Tag(_RANGES.get(colour.range, str(colour.range)))
    yield "colour primaries", Tag(_PRIMARIES.get(colour.primaries, str(colour.primaries)))
    yield "colour transfer", Tag(_TRANSFERS.get(colour.transfer, str(colour.transfer)))
    yield "chroma place", Tag(colour.place)
    yield "chroma sampling", Tag(facts.sampling)
    yield "bits a sample", Tag(str(facts.depth))
    yield "scan", Tag("interlaced" if facts.interlaced else "progressive")
    screen = facts.mastering
    words = screen.text(whole=False) if screen else ""
    rounded = tuple(round(float(value), 3) for value in (*screen.points, screen.brightest)) if screen else ""
    yield "mastering display", Tag(words, rounded)
    yield "content light", Tag(facts.light.text if facts.light else "")


def _of_track(track: Stream) -> Iterator[tuple[str, Tag]]:
    yield "codec", Tag(codec_name(track))
    yield "language", _language(track)
    yield "title", Tag(_lowered(track_tags(track.metadata)).get("title", ""))
    yield "disposition", _disposition(track)
    if isinstance(track, AudioStream) and track.codec_context is not None:
        yield "channels", Tag(track.codec_context.layout.name)


def _language(track: Stream) -> Tag:
    language = _lowered(track.metadata).get("language", "")
    language = "" if language == "und" else language
    return Tag(language, QUICKTIME_LANGUAGES.get(language, language))


def _disposition(track: Stream) -> Tag:
    flags = Disposition(track.disposition) & ~Disposition.default  # which track plays first is the muxer's to mark
    return Tag(" ".join(flag.name or "" for flag in Disposition if flag in flags), int(flags))


def _chapters(chapters: Iterable[Chapter]) -> Tag:
    told = [
        (round(float(chapter["start"] * (chapter["time_base"] or 1)), 3), chapter["metadata"].get("title", ""))
        for chapter in chapters
    ]
    return Tag("; ".join(f"{start:.3f} {title}".strip() for start, title in told))


def _words(metadata: Mapping[str, str]) -> dict[str, str]:
    return {key: value for key, value in _lowered(kept_tags(dict(metadata))).items() if key not in _HANDLERS}


def _lowered(metadata: Mapping[str, str]) -> dict[str, str]:
    """Matroska writes the names of tags in capitals."""
    return {key.lower(): value for key, value in metadata.items()}
