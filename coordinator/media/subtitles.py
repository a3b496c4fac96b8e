"""Subtitles of text in the form that a container wants, by way of ASS, which decoders and encoders share."""

from __future__ import annotations

from fractions import Fraction
from typing import cast

from av.container import OutputContainer
from av.packet import Packet
from av.stream import Stream
from av.subtitles.codeccontext import SubtitleCodecContext
from av.subtitles.stream import SubtitleStream

_MILLISECOND = Fraction(1, 1000)
_TEXT = {"subrip", "srt", "ass", "ssa", "mov_text", "webvtt", "text"}
_FORMS = {"mp4": "mov_text", "mov": "mov_text", "matroska": "ass", "webm": "webvtt"}


def converts_to(track: Stream, container: str) -> str:
    """The codec that a track of text can be converted to for a container; empty for any other track."""
    return _FORMS[container] if is_text(track) else ""


def is_text(track: Stream) -> bool:
    """Whether a track is subtitles that are words."""
    if track.type != "subtitle" or track.codec_context is None:
        return False
    return track.codec_context.codec.canonical_name in _TEXT


class SubtitleConverter:
    """Converts one track's packets. Words, times, bold, italic and colours stay; fonts and places may not."""

    def __init__(self, track: Stream, output: OutputContainer, codec: str) -> None:
        self._decoder = cast("SubtitleCodecContext", track.codec_context)
        self._decoder.open(strict=False)
        self.stream = cast("SubtitleStream", output.add_stream(codec))
        """The new track."""
        self._encoder = self.stream.codec_context
        self._encoder.subtitle_header = self._decoder.subtitle_header
        self.stream.time_base = track.time_base
        self._encoder.time_base = track.time_base or _MILLISECOND

    def convert(self, packet: Packet[Stream]) -> Packet[Stream] | None:
        """The packet as the new track's; None for one that shows nothing, as MP4 has between two texts."""
        shown = self._decoder.decode2(packet)
        if shown is None or len(shown) == 0:
            return None
        converted: Packet[Stream] = Packet(bytes(self._encoder.encode_subtitle(shown)))
        converted.pts = converted.dts = packet.pts
        converted.duration, converted.time_base = packet.duration, packet.time_base
        converted.stream = self.stream
        return converted
