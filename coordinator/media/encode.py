"""Writing the result: frames become H.264, everything else is copied packet for packet."""

from __future__ import annotations

import contextlib
import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.stream import Stream
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from numpy.typing import NDArray

from coordinator.media.colour import Colour, Converter
from coordinator.media.container import assumed_layout, choose_container
from coordinator.media.decode import CopiedPacket, Source
from coordinator.media.errors import writing
from coordinator.media.probe import VideoFacts, codec_name
from coordinator.media.timeline import Stamp

log = logging.getLogger(__name__)

_FRAME_DURATION = 1 << 8  # AV_CODEC_FLAG_FRAME_DURATION: the encoder keeps each frame's duration
_FILE_TAGS = {
    "major_brand",
    "minor_version",
    "compatible_brands",
    "encoder",
}  # these describe the old file, not the film


@dataclass(frozen=True, slots=True, kw_only=True)
class EncoderSettings:
    """How H.264 is written."""

    crf: int = 18
    """Constant rate factor: 0 is lossless, 18 is visually so, 51 is the worst."""
    preset: str = "veryfast"
    """x264 preset."""
    threads: int = 0
    """Threads of the encoder; neutral value: 0, as many as there are processors."""


class Writer:
    """An open result. For one thread. `close` completes the file; `abort` leaves none."""

    def __init__(
        self, path: Path, facts: VideoFacts, source: Source, *, width: int, height: int, settings: EncoderSettings
    ) -> None:
        self.frames = 0
        self.dropped: list[str] = []
        """Codecs of tracks that no container could take; empty as a rule."""
        self._path = path
        self._closed = False
        self._scale = Fraction(width, facts.width)
        self._converter = Converter(facts.colour)
        with writing():
            self.container = choose_container(source.tracks)
            """Name of the container format, `mp4` as a rule."""
            self._output = self._open(path, facts, source)
            self._video = self._add_video(facts, width, height, settings)
            self._video.metadata.update(_kept(source.video_metadata))
            self._copies = self._add_copies(source.tracks)

    def write(self, picture: NDArray[np.uint8], stamp: Stamp) -> None:
        """Encode one picture, `[height, width, 3]` RGB with contiguous pixels. Not kept after the call."""
        with writing():
            frame = self._converter.to_yuv(VideoFrame.from_numpy_buffer(picture, "rgb24"))
            frame.pts, frame.duration = stamp.pts, stamp.duration
            frame.time_base = self._time_base
            self._output.mux(self._video.encode(frame))
            self.frames += 1

    def copy(self, copied: CopiedPacket) -> None:
        """Write a packet of a track that is not touched."""
        stream = self._copies.get(copied.track)
        if stream is None:
            return
        with writing():
            copied.packet.stream = stream
            self._output.mux_one(copied.packet)

    def close(self) -> None:
        """Flush the encoder and complete the file."""
        with writing():
            self._output.mux(self._video.encode(None))
            self._output.close()
            self._closed = True

    def abort(self) -> None:
        """Delete what has been written. Nothing happens after `close`. Idempotent."""
        if self._closed:
            return
        self._closed = True
        self._path.unlink(missing_ok=True)  # before its muxer is closed, which takes a while
        with contextlib.suppress(Exception):  # the file is gone, whatever its muxer thinks of that
            self._output.close()

    def _open(self, path: Path, facts: VideoFacts, source: Source) -> OutputContainer:
        options = {"avoid_negative_ts": "disabled" if facts.first_pts >= 0 else "make_non_negative"}
        if self.container == "mp4":
            options["movflags"] = "+faststart"
            options["movie_timescale"] = str(_movie_timescale(facts, source))
            if facts.time_base.numerator == 1 and facts.time_base.denominator < 1 << 31:
                options["video_track_timescale"] = str(facts.time_base.denominator)
        output = av.open(f"file:{path.absolute()}", "w", format=self.container, container_options=options)
        output.metadata.update(_kept(source.metadata))
        if source.chapters:
            output.set_chapters(list(source.chapters))
        return output

    def _add_video(self, facts: VideoFacts, width: int, height: int, settings: EncoderSettings) -> VideoStream:
        stream = self._output.add_stream(
            "libx264",
            rate=facts.rate or Fraction(25),
            options={"crf": str(settings.crf), "preset": settings.preset},
        )
        context = stream.codec_context
        context.width, context.height, context.pix_fmt = width, height, "yuv420p"
        self._time_base = context.time_base = facts.time_base
        context.flags |= _FRAME_DURATION
        context.thread_count = settings.threads
        if facts.sample_aspect_ratio:
            context.sample_aspect_ratio = facts.sample_aspect_ratio
        _tag(context, facts.colour)
        stream.time_base = facts.time_base
        stream.set_display_matrix(self._scaled(facts.display_matrix))
        return stream

    def _scaled(self, matrix: tuple[int, ...] | None) -> tuple[int, ...] | None:
        """The display matrix for the new size: its translation is in pixels."""
        if matrix is None:
            return None
        moved = (int(matrix[6] * self._scale), int(matrix[7] * self._scale))
        if any(abs(value) >= 1 << 31 for value in moved):
            moved = (0, 0)
        return (*matrix[:6], *moved, matrix[8])

    def _add_copies(self, tracks: Sequence[Stream]) -> dict[int, Stream]:
        copies: dict[int, Stream] = {}
        for track in tracks:
            try:
                stream = self._output.add_stream_from_template(track, opaque=True)
            except (ValueError, av.FFmpegError) as error:
                log.warning("track %d cannot be written to %s: %s", track.index, self.container, error)
                self.dropped.append(f"{track.type} ({codec_name(track)})")
                continue
            if isinstance(stream, AudioStream) and (layout := assumed_layout(track)):
                stream.codec_context.layout = layout
            stream.metadata.update(_kept(track.metadata))
            stream.disposition = track.disposition
            copies[track.index] = stream
        return copies


def _movie_timescale(facts: VideoFacts, source: Source) -> int:
    """Units a second in which MP4 keeps the start of every track: one in which all of them are exact, if there is.

    It counts sound in samples, whatever the input counts it in.
    """
    units = [facts.time_base.denominator]
    for track in source.tracks:
        units.append(track.time_base.denominator if track.time_base else 1)
        if isinstance(track, AudioStream) and track.codec_context is not None:
            units.append(max(1, track.codec_context.sample_rate))
    exact = math.lcm(*units)
    return exact if exact < 1 << 31 else 90_000


def _tag(context: object, colour: Colour) -> None:
    for name, value in (
        ("colorspace", colour.tag),
        ("color_range", colour.range),
        ("color_primaries", colour.primaries),
        ("color_trc", colour.transfer),
    ):
        setattr(context, name, value)


def _kept(metadata: dict[str, str]) -> dict[str, str]:
    return {key: value for key, value in metadata.items() if key not in _FILE_TAGS}
