"""From units to the result: their pictures and the input's other tracks, packet for packet, in one file."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
from av.audio.stream import AudioStream
from av.container import InputContainer, OutputContainer
from av.packet import Packet
from av.stream import Stream
from av.video.stream import VideoStream

from coordinator.media.container import assumed_layout, choose_container
from coordinator.media.decode import Source
from coordinator.media.encode import scaled_matrix, unit_shift
from coordinator.media.errors import writing
from coordinator.media.limits import MediaLimits
from coordinator.media.open import copied_tracks, main_video, open_input
from coordinator.media.probe import VideoFacts, codec_name

log = logging.getLogger(__name__)

_FILE_TAGS = {
    "major_brand",
    "minor_version",
    "compatible_brands",
    "encoder",
}  # these describe the old file, not the film


@dataclass(frozen=True, slots=True, kw_only=True)
class Units:
    """The pictures of a film, encoded."""

    paths: Sequence[Path]
    """At least one, in order."""
    reordering: int
    """By how many places an encoder moved a frame ahead at most, in any of them."""
    last_duration: int
    """How long the last frame is shown, in the film's time base; 0 when unknown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Assembled:
    """What was written."""

    container: str
    """Format, `mp4` or `matroska`."""
    dropped: tuple[str, ...]
    """Codecs of tracks that no container could take; empty as a rule."""
    frames: int


def assemble(target: Path, units: Units, source: Path, facts: VideoFacts, limits: MediaLimits) -> Assembled:
    """Write the result. Its time stamps are the film's, its other tracks are the input's, bit for bit.

    Raises WorkerError (INTERNAL, retryable) when it cannot be written, MediaError when the input cannot be read.
    No file is left then.
    """
    try:
        with open_input(source, limits) as film, writing():
            return _assemble(target, units, film, facts, limits)
    except BaseException:
        target.unlink(missing_ok=True)
        raise


def _assemble(target: Path, units: Units, film: InputContainer, facts: VideoFacts, limits: MediaLimits) -> Assembled:
    source = _source(film, limits)
    result = _Result(target, units.paths[0], facts, source)
    try:
        pictures = result.pictures(_stamped(units, facts), facts)
        for packet in _by_time(pictures, result.copies(_packets(film, source.tracks))):
            result.output.mux_one(packet)
    finally:
        result.output.close()
    return Assembled(container=result.container, dropped=tuple(result.dropped), frames=result.frames)


def _source(film: InputContainer, limits: MediaLimits) -> Source:
    return Source(
        metadata=dict(film.metadata),
        chapters=film.chapters(),
        video_metadata=dict(main_video(film, limits).metadata),
        tracks=copied_tracks(film),
    )


class _Result:
    """The open file."""

    def __init__(self, path: Path, first: Path, facts: VideoFacts, source: Source) -> None:
        self.dropped: list[str] = []
        self.frames = 0
        self.container = choose_container(source.tracks)
        self.output = _open(path, self.container, facts, source)
        self._video = self._add_video(first, facts)
        self._video.metadata.update(_kept(source.video_metadata))
        self._copies = self._add_copies(source.tracks)

    def pictures(self, packets: Iterable[Packet[VideoStream]], facts: VideoFacts) -> Iterator[Packet[Stream]]:
        """The packets as this file's."""
        for packet in packets:
            packet.time_base = facts.time_base
            packet.stream = self._video
            self.frames += 1
            yield packet  # type: ignore[misc]  # a video track's packet is a packet

    def copies(self, packets: Iterable[Packet[Stream]]) -> Iterator[Packet[Stream]]:
        """The packets as this file's, without those of tracks it has not."""
        for packet in packets:
            if stream := self._copies.get(packet.stream_index):
                packet.stream = stream
                yield packet

    def _add_video(self, first: Path, facts: VideoFacts) -> VideoStream:
        with _open_unit(first) as unit:
            template = unit.streams.video[0]
            stream = self.output.add_stream_from_template(template, opaque=True)
            stream.codec_context.framerate = facts.rate or Fraction(25)
            stream.time_base = facts.time_base
            stream.set_display_matrix(scaled_matrix(facts, template.codec_context.width))
            return stream

    def _add_copies(self, tracks: Sequence[Stream]) -> dict[int, Stream]:
        copies: dict[int, Stream] = {}
        for track in tracks:
            try:
                stream = self.output.add_stream_from_template(track, opaque=True)
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


def _open(path: Path, container: str, facts: VideoFacts, source: Source) -> OutputContainer:
    options = {"avoid_negative_ts": "disabled" if facts.first_pts >= 0 else "make_non_negative"}
    if container == "mp4":
        options["movflags"] = "+faststart"
        options["movie_timescale"] = str(_movie_timescale(facts, source))
        if facts.time_base.numerator == 1 and facts.time_base.denominator < 1 << 31:
            options["video_track_timescale"] = str(facts.time_base.denominator)
    output = av.open(f"file:{path.absolute()}", "w", format=container, container_options=options)
    output.metadata.update(_kept(source.metadata))
    if source.chapters:
        output.set_chapters(list(source.chapters))
    return output


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


def _kept(metadata: dict[str, str]) -> dict[str, str]:
    return {key: value for key, value in metadata.items() if key not in _FILE_TAGS}


def _open_unit(path: Path) -> InputContainer:
    return av.open(f"file:{path.absolute()}", format="mp4")


def _unit_packets(path: Path, facts: VideoFacts) -> Iterator[Packet[VideoStream]]:
    """A unit's pictures with the film's own pts, in the order of decoding."""
    with _open_unit(path) as unit:
        video, shift = unit.streams.video[0], unit_shift(facts)
        scale = (video.time_base or facts.time_base) / facts.time_base
        for packet in unit.demux(video):
            if packet.size and packet.pts is not None:
                packet.pts = round(packet.pts * scale) - shift
                yield packet


def _stamped(units: Units, facts: VideoFacts) -> Iterator[Packet[VideoStream]]:
    """All pictures, with the decoding times and durations that one encoder would have given them.

    A unit's own decoding times start anew and may overlap the unit before. Those of the film are its frames' pts,
    late by as many places as any encoder reordered.
    """
    pending: list[int] = []
    for path in units.paths:
        shown = sorted(packet.pts or 0 for packet in _unit_packets(path, facts))  # read twice, never held in memory
        if not pending:
            pending = _before(shown, units.reordering)
        pending.extend(shown)
        places = {pts: place for place, pts in enumerate(shown)}
        for number, packet in enumerate(_unit_packets(path, facts)):
            place = places[packet.pts or 0]
            packet.dts = pending[number]
            packet.duration = shown[place + 1] - shown[place] if place + 1 < len(shown) else units.last_duration
            yield packet
        del pending[: len(shown)]


def _before(shown: Sequence[int], count: int) -> list[int]:
    """Decoding times of the first packets: so many steps before the first pts."""
    step = max(1, (shown[min(count, len(shown) - 1)] - shown[0]) // max(1, count))
    return [shown[0] - step * place for place in range(count, 0, -1)]


def _packets(film: InputContainer, tracks: Sequence[Stream]) -> Iterator[Packet[Stream]]:
    """Packets with content; the container's end of file, wherever it is."""
    packets = film.demux(*tracks) if tracks else iter(())
    while True:
        try:
            packet = next(packets, None)
        except av.FFmpegError:
            return  # the file breaks off here; whoever decoded it has said so
        if packet is None:
            return
        if packet.size:
            yield packet


def _by_time(one: Iterator[Packet[Stream]], other: Iterator[Packet[Stream]]) -> Iterator[Packet[Stream]]:
    """Both, each in its own order, the earlier first: a muxer keeps packets until it has seen the other tracks'."""
    left, right = next(one, None), next(other, None)
    while left is not None or right is not None:
        if right is None or (left is not None and _seconds(left) <= _seconds(right)):
            assert left is not None  # noqa: S101 - one of both is there
            following, left = left, next(one, None)
        else:
            following, right = right, next(other, None)
        yield following


def _seconds(packet: Packet[Stream]) -> float:
    time = packet.dts if packet.dts is not None else packet.pts
    return float((time or 0) * packet.time_base)
