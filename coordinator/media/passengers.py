"""What travels with the picture: sound, subtitles, covers, attached files, other tracks; and what becomes of each.

    copied      packet for packet, whatever fits
    converted   subtitles of text, into the text form of a container that was asked for
    attached    files and, in Matroska, covers
    rendered    sound, where an edit list changes time: it is cut and encoded again
    left out    the rest, and it is said why

Decided before the work begins: a file asked for that cannot hold the sound is refused then, and not after an hour.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from av.audio.stream import AudioStream
from av.container import InputContainer
from av.stream import Stream
from av.video.stream import VideoStream

from coordinator.media.container import FORMATS, choose_container, fits, takes_cover
from coordinator.media.limits import MediaLimits
from coordinator.media.open import is_cover, main_video, open_input
from coordinator.media.sound.bit_rate import bit_rate
from coordinator.media.sound.encoders import SoundEncoding, choose_sound_encoding
from coordinator.media.subtitles import converts_to, is_text
from coordinator.media.words import shortened
from framewire.errors import StepError, Violation


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    """Something of the input that is not in the result."""

    what: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Passengers:
    """The result's container and what goes into it beside the picture. Tracks by their index in the input."""

    container: str
    """FFmpeg's name: `mp4`, `mov`, `matroska` or `webm`."""
    copied: tuple[int, ...] = ()
    converted: tuple[tuple[int, str], ...] = ()
    """And the codec that each is converted to."""
    rendered: tuple[tuple[int, SoundEncoding], ...] = ()
    """And how each is encoded."""
    covers: tuple[int, ...] = ()
    attached: tuple[int, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    remarks: tuple[str, ...] = ()
    """What people should know, a line each."""


Encode = Callable[[AudioStream, str], SoundEncoding | None]
"""How a track of sound is encoded for a container; None when nothing can write it."""


def look_at_passengers(path: Path, limits: MediaLimits, *, wanted: str = "", edited: bool = False) -> Passengers:
    """`choose_passengers` for a file. `edited`: its time is changed. Raises MediaError too."""

    def encode(track: AudioStream, container: str) -> SoundEncoding | None:
        return choose_sound_encoding(track, container, bit_rate=bit_rate(path, track, limits))

    with open_input(path, limits) as film:
        return choose_passengers(film, main_video(film, limits), wanted=wanted, encode=encode if edited else None)


def choose_passengers(
    film: InputContainer, video: VideoStream, *, wanted: str = "", refuse: bool = True, encode: Encode | None = None
) -> Passengers:
    """What becomes of each track but the main video. `wanted`: `mp4`, `mov`, `mkv`, `webm`, or "" for what fits.

    `encode`: for a film whose time is changed; then sound is rendered, and what cannot be cut is left out.
    Raises StepError (STEP_INVALID) when the container that was asked for cannot hold the sound; without `refuse`,
    such sound is left out.
    """
    others = [stream for stream in film.streams if stream.index != video.index]
    container = choose_container([stream for stream in others if _counts(stream, encode)], wanted)
    if not wanted and any(stream.type == "attachment" for stream in others):
        container = "matroska"  # MP4 has no place for files
    timecode = encode is None and "timecode" in {**film.metadata, **video.metadata}
    choice = _Choice(container, timecode=timecode, encode=encode)
    for stream in others:
        choice.add(stream)
    if wanted and refuse:
        _check_sound(choice, wanted)
    return choice.result(asked=bool(wanted))


class _Choice:
    """Sorts tracks."""

    def __init__(self, container: str, *, timecode: bool, encode: Encode | None) -> None:
        self._container = container
        self._timecode = timecode
        self._encode = encode
        self._rendered: list[tuple[int, SoundEncoding]] = []
        self._copied: list[int] = []
        self._converted: list[tuple[int, str]] = []
        self._covers: list[int] = []
        self._attached: list[int] = []
        self._left_out: list[LeftOut] = []
        self._remarks: list[str] = []
        self.lost_sound: list[Stream] = []

    def add(self, stream: Stream) -> None:
        match stream.type:
            case "video" if is_cover(stream):
                self._add_cover(stream)
            case "attachment" if self._container == "matroska":
                self._attached.append(stream.index)
            case "data" if self._timecode and _is_timecode(stream):
                pass  # the muxer writes it anew, from the picture's tag
            case "attachment":
                self._leave(stream, f"{_name(self._container)} holds no attached files")
            case "data" if self._encode is not None and _is_timecode(stream):
                self._leave(stream, "a film that was cut has no timecode of its own")
            case "data":
                self._leave(stream, "tracks of data are not understood here")
            case _ if self._encode is not None:
                self._add_edited(stream, self._encode)
            case _:
                self._add_track(stream)

    def result(self, *, asked: bool) -> Passengers:
        if self._container != "mp4" and not asked:
            name = {"matroska": "Matroska (.mkv)", "mov": "MOV (.mov)"}[self._container]
            self._remarks.append(f"the result is in {name}, because a track it keeps does not fit into MP4")
        return Passengers(
            container=self._container,
            copied=tuple(self._copied),
            converted=tuple(self._converted),
            rendered=tuple(self._rendered),
            covers=tuple(self._covers),
            attached=tuple(self._attached),
            left_out=tuple(self._left_out),
            remarks=tuple(self._remarks),
        )

    def _add_track(self, stream: Stream) -> None:
        if fits(stream, self._container):
            self._copied.append(stream.index)
            if stream.type == "video":
                self._remarks.append(f"{_description(stream)} was copied as it is; steps work on the main video alone")
        elif target := converts_to(stream, self._container):
            self._converted.append((stream.index, target))
            self._remarks.append(f"{_description(stream)} was converted to {target} for {_name(self._container)}")
        else:
            if stream.type == "audio":
                self.lost_sound.append(stream)
            self._leave(stream, _why_not(stream, self._container))

    def _add_edited(self, stream: Stream, encode: Encode) -> None:
        if stream.type == "video":
            self._leave(stream, "only one can be cut")
        elif not isinstance(stream, AudioStream):
            self._add_text(stream)
        elif encoding := encode(stream, self._container):
            self._rendered.append((stream.index, encoding))
            self._remarks.extend(encoding.remarks)
        else:
            self._leave(stream, "nothing here reads and writes its codec, so it cannot be cut")

    def _add_text(self, stream: Stream) -> None:
        if is_text(stream):
            self._add_track(stream)
        else:
            self._leave(stream, "subtitles that are pictures cannot be cut")

    def _add_cover(self, stream: Stream) -> None:
        if takes_cover(stream, self._container):
            self._covers.append(stream.index)
        else:
            self._leave(stream, f"{_name(self._container)} takes no such cover")

    def _leave(self, stream: Stream, why: str) -> None:
        self._left_out.append(LeftOut(what=_description(stream), why=why))


def _check_sound(choice: _Choice, wanted: str) -> None:
    known = [stream for stream in choice.lost_sound if stream.codec_context is not None]
    if not known:
        return  # what nobody can read is left out and said, whatever the container
    takes = "; it takes Opus and Vorbis" if wanted == "webm" else ""
    message = f"{_name(FORMATS[wanted])} cannot hold the sound ({_codec(known[0])}){takes}; ask for mkv, or for none"
    raise StepError(message, violations=[Violation("output.container", message)])


def _counts(stream: Stream, encode: Encode | None) -> bool:
    """Whether the choice of the container minds this track: not for covers and data, nor for what is not copied."""
    if encode is not None:
        return is_text(stream)
    return stream.type in ("audio", "subtitle", "video") and not is_cover(stream)


def _is_timecode(stream: Stream) -> bool:
    return "timecode" in stream.metadata


def _why_not(stream: Stream, container: str) -> str:
    if stream.codec_context is None:
        return "its codec is not known here"
    return f"{_name(container)} cannot hold it"


def _description(stream: Stream) -> str:
    kind = {"attachment": "attached file", "video": "cover" if is_cover(stream) else "video track"}
    name = shortened(stream.metadata.get("filename") or _codec(stream))
    return f"{kind.get(stream.type, f'{stream.type} track')} {stream.index} ({name})"


def _codec(stream: Stream) -> str:
    return stream.codec_context.codec.canonical_name if stream.codec_context else "unknown"


def _name(container: str) -> str:
    return {"mp4": "MP4", "mov": "MOV", "matroska": "Matroska", "webm": "WebM"}[container]
