"""The result's tracks beside the picture, made as `passengers` chose, and the packets that go into them."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable
from pathlib import Path

import av
from av.container import InputContainer, OutputContainer
from av.packet import Packet
from av.stream import AttachmentStream, Stream
from av.video.stream import VideoStream

from coordinator.media.codecs import mark
from coordinator.media.container import add_copy
from coordinator.media.limits import MediaLimits
from coordinator.media.open import open_input
from coordinator.media.passengers import LeftOut, Passengers
from coordinator.media.sound.encoders import SoundEncoding
from coordinator.media.sound.render import SoundTrack
from coordinator.media.subtitles import SubtitleConverter

log = logging.getLogger(__name__)

_FILE_TAGS = {"major_brand", "minor_version", "compatible_brands", "encoder"}
"""These describe the old file, not the film."""
_MUXER_TAGS = {"duration", "_statistics_writing_app", "_statistics_writing_date_utc", "_statistics_tags"}
"""Matroska's, of the old tracks; the muxer writes its own."""
QUICKTIME_LANGUAGES = {
    "deu": "ger",
    "nld": "dut",
    "ell": "gre",
    "isl": "ice",
    "zho": "chi",
    "sqi": "alb",
    "mkd": "mac",
}
"""Languages that QuickTime knows by the other of their two codes."""


Render = Callable[[OutputContainer, int, SoundEncoding], SoundTrack]
"""Makes a track of an output of the input's track of that index."""


class Tracks:
    """The tracks of an output that has its video and no header yet. `film` stays open as long as this is used."""

    def __init__(
        self,
        output: OutputContainer,
        film: InputContainer,
        passengers: Passengers,
        covers: dict[int, bytes],
        *,
        render: Render | None = None,
    ) -> None:
        """`covers`: the pictures, by track. `render` makes the tracks that are rendered."""
        self.left_out: list[LeftOut] = []
        """What was chosen and could not be written all the same; empty as a rule."""
        self._output = output
        self._container = passengers.container
        self._copies: dict[int, Stream] = {}
        self.sounds: list[SoundTrack] = []
        """Those that are rendered."""
        self._converters: dict[int, SubtitleConverter] = {}
        converted, rendered = dict(passengers.converted), dict(passengers.rendered)
        for track in film.streams:
            if track.index in passengers.copied:
                self._copy(track)
            elif track.index in converted:
                self._convert(track, converted[track.index])
            elif render is not None and track.index in rendered:
                self.sounds.append(render(output, track.index, rendered[track.index]))
                self._describe(self.sounds[-1].stream, track)
            elif track.index in passengers.covers and self._container != "matroska":
                self._copy(track)
        self._attach(film, passengers, covers)

    @property
    def inputs(self) -> list[int]:
        """Tracks of the input whose packets are wanted."""
        return [*self._copies, *self._converters]

    def packet(self, packet: Packet[Stream]) -> Packet[Stream] | None:
        """The packet as this output's; None for one that is not wanted."""
        if stream := self._copies.get(packet.stream_index):
            packet.stream = stream
            return packet
        converter = self._converters.get(packet.stream_index)
        return converter.convert(packet) if converter else None

    def _copy(self, track: Stream) -> None:
        try:
            stream = add_copy(self._output, track)
        except (ValueError, av.FFmpegError) as error:
            self._leave(track, error)
            return
        if isinstance(stream, VideoStream):
            mark(stream.codec_context)
        self._describe(stream, track)
        self._copies[track.index] = stream

    def _convert(self, track: Stream, codec: str) -> None:
        try:
            converter = SubtitleConverter(track, self._output, codec)
        except (ValueError, av.FFmpegError) as error:
            self._leave(track, error)
            return
        self._describe(converter.stream, track)
        self._converters[track.index] = converter

    def _describe(self, stream: Stream, track: Stream) -> None:
        stream.metadata.update(track_tags(track.metadata))
        if self._container == "mov" and (language := QUICKTIME_LANGUAGES.get(track.metadata.get("language", ""))):
            stream.metadata["language"] = language
        stream.disposition = track.disposition

    def _leave(self, track: Stream, error: Exception) -> None:
        log.warning("track %d cannot be written to %s: %s", track.index, self._container, error)
        self.left_out.append(LeftOut(what=f"{track.type} track {track.index}", why="it cannot be written"))

    def _attach(self, film: InputContainer, passengers: Passengers, covers: dict[int, bytes]) -> None:
        """Files go into the header of Matroska, and a cover is one of them."""
        if self._container != "matroska":
            return
        for index in passengers.covers:
            cover = film.streams[index]
            name = cover.metadata.get("filename") or f"cover.{_ending(cover)}"
            mime = cover.metadata.get("mimetype") or f"image/{_ending(cover).replace('jpg', 'jpeg')}"
            self._output.add_attachment(name, mime, covers.get(index, b""))
        for index in passengers.attached:
            file = film.streams[index]
            if isinstance(file, AttachmentStream):
                name = file.metadata.get("filename", "file")
                self._output.add_attachment(name, file.mimetype or "application/octet-stream", file.data)


def kept_tags(metadata: dict[str, str]) -> dict[str, str]:
    """The tags that describe the film or the track, and not the old file."""
    return {
        key: value
        for key, value in metadata.items()
        if key.lower() not in _FILE_TAGS and key.lower().partition("-")[0] not in _MUXER_TAGS
    }


def track_tags(metadata: dict[str, str]) -> dict[str, str]:
    """The same for a track; its title is called that, also where it comes from MP4, which is read as its `name`."""
    tags = kept_tags(metadata)
    names = [key for key in tags if key.lower() == "name"]
    if names and not any(key.lower() == "title" for key in tags):
        tags["title"] = tags.pop(names[0])
    return tags


def _ending(cover: Stream) -> str:
    codec = cover.codec_context.codec.canonical_name if cover.codec_context else ""
    return {"mjpeg": "jpg"}.get(codec, codec or "bin")


def read_covers(path: Path, passengers: Passengers, limits: MediaLimits) -> dict[int, bytes]:
    """The pictures that Matroska wants in its header, by track. Each is its track's only packet."""
    if passengers.container != "matroska" or not passengers.covers:
        return {}
    with open_input(path, limits) as film:  # an opening of its own: seeking back would lose packets before zero
        covers = [film.streams[index] for index in passengers.covers]
        return {
            packet.stream_index: bytes(packet)
            for packet in itertools.islice(film.demux(covers), len(covers))
            if packet.size
        }
