"""From units to the result: their pictures and the input's other tracks, packet for packet, in one file."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
from av.container import InputContainer, OutputContainer
from av.packet import Packet
from av.stream import Disposition, Stream
from av.video.stream import VideoStream

from coordinator.media.codecs import mark, set_shape
from coordinator.media.cut.timeline import TextShift, moved_chapters
from coordinator.media.decode import Source
from coordinator.media.encode import scaled_matrix, unit_shift
from coordinator.media.errors import writing
from coordinator.media.limits import MediaLimits
from coordinator.media.mux import mux
from coordinator.media.open import main_video, open_input
from coordinator.media.packets import packets
from coordinator.media.passengers import LeftOut, Passengers, choose_passengers
from coordinator.media.probe import VideoFacts
from coordinator.media.result_file import by_time, open_result
from coordinator.media.retiming import Retiming
from coordinator.media.sound.edited import FADE
from coordinator.media.sound.encoders import SoundEncoding
from coordinator.media.sound.render import RenderedSound, SoundTrack
from coordinator.media.tracks import Render, Tracks, read_covers, track_tags
from framewire.errors import ErrorCode, WorkerError


@dataclass(frozen=True, slots=True, kw_only=True)
class Units:
    """The pictures of a film, encoded."""

    paths: Sequence[Path]
    """At least one, in order."""
    reordering: int
    """By how many places an encoder moved a frame ahead at most, in any of them."""
    last_duration: int
    """How long the last frame is shown, in the film's time base; 0 when unknown."""
    frames: int | None = None
    """In all of them; when it is known, so many have to be there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Assembled:
    """What was written."""

    container: str
    """Format: `mp4`, `mov`, `matroska` or `webm`."""
    left_out: tuple[LeftOut, ...]
    """What of the input is not in it."""
    remarks: tuple[str, ...]
    """What people should know about it, a line each."""
    frames: int
    sounds: tuple[RenderedSound, ...] = ()
    """Tracks that were encoded again."""


def assemble(
    target: Path,
    units: Units,
    source: Path,
    facts: VideoFacts,
    limits: MediaLimits,
    *,
    passengers: Passengers | None = None,
    retiming: Retiming | None = None,
    fade: Fraction = FADE,
    check: Callable[[], None] = lambda: None,
) -> Assembled:
    """Write the result. Its time stamps are the film's, its other tracks are the input's, bit for bit.

    With `retiming` they follow that: sound is rendered, texts and chapters are moved. Then `facts` are the result's,
    and `fade` is the seconds that sound fades on either side of a join.
    `passengers`: which container, and what goes into it; when None, chosen here. `check` is called for every packet
    and may raise. Raises WorkerError (INTERNAL, retryable) when the file cannot be written, MediaError when the input
    cannot be read. No file is left then.
    """
    try:
        with open_input(source, limits) as film, writing():
            video = main_video(film, limits)
            aboard = passengers or choose_passengers(film, video)
            covers = read_covers(source, aboard, limits)
            parts = _Parts(film, _source(film, video, aboard, retiming), aboard, covers, retiming)
            render = _renderer(source, retiming, fade, limits) if retiming else None
            return _assemble(target, units, parts, facts, check, render)
    except BaseException:
        target.unlink(missing_ok=True)
        raise


def _assemble(
    target: Path,
    units: Units,
    parts: _Parts,
    facts: VideoFacts,
    check: Callable[[], None],
    render: Render | None,
) -> Assembled:
    aboard, result = parts.passengers, _Result(target, units.paths[0], facts, parts, render)
    try:
        result.output.start_encoding()  # a header that cannot be written is no packet that makes no sense
        pictures = result.pictures(_stamped(units, facts), facts)
        tracks = [result.others(packets(parts.film, result.tracks.inputs))]
        tracks += [sound.packets(check) for sound in result.tracks.sounds]
        for packet in functools.reduce(by_time, tracks, pictures):
            check()
            result.add(packet)
        if units.frames not in (None, result.frames):
            raise WorkerError(f"{result.frames} of {units.frames} frames are in the result", code=ErrorCode.INTERNAL)
    finally:
        result.output.close()
    return Assembled(
        container=aboard.container,
        left_out=(*aboard.left_out, *result.tracks.left_out),
        remarks=(*aboard.remarks, *result.remarks()),
        frames=result.frames,
        sounds=tuple(sound.rendered() for sound in result.tracks.sounds),
    )


def _renderer(source: Path, retiming: Retiming, fade: Fraction, limits: MediaLimits) -> Render:
    def render(output: OutputContainer, index: int, encoding: SoundEncoding) -> SoundTrack:
        return SoundTrack(
            output, encoding, source, index, retiming.edits, origin=retiming.origin, fade=fade, limits=limits
        )

    return render


@dataclass(frozen=True, slots=True)
class _Parts:
    """What goes into the result beside the units."""

    film: InputContainer
    source: Source
    passengers: Passengers
    covers: dict[int, bytes]
    retiming: Retiming | None


def _source(film: InputContainer, video: VideoStream, aboard: Passengers, retiming: Retiming | None) -> Source:
    chapters = film.chapters()
    return Source(
        metadata=_tags(film.metadata, retiming),
        chapters=list(moved_chapters(chapters, retiming)) if retiming else chapters,
        video_metadata=_tags(video.metadata, retiming),
        video_disposition=int(video.disposition),
        tracks=[film.streams[index] for index in aboard.copied],
    )


def _tags(metadata: Mapping[str, str], retiming: Retiming | None) -> dict[str, str]:
    """The same, but of a film that was cut no timecode: it counts frames that are not there."""
    return {key: value for key, value in metadata.items() if retiming is None or key.lower() != "timecode"}


class _Result:
    """The open file."""

    def __init__(self, path: Path, first: Path, facts: VideoFacts, parts: _Parts, render: Render | None) -> None:
        self.frames = 0
        self._senseless = 0
        self.output = open_result(path, parts.passengers.container, facts, parts.source)
        self._video = self._add_video(first, facts)
        self._video.metadata.update(track_tags(parts.source.video_metadata))
        self._video.disposition = Disposition(parts.source.video_disposition)
        self.tracks = Tracks(self.output, parts.film, parts.passengers, parts.covers, render=render)
        self._texts = _texts(parts, self.tracks.inputs)

    def add(self, packet: Packet[Stream]) -> None:
        """Write a packet of this file's."""
        self._senseless += not mux(self.output, packet)

    def remarks(self) -> tuple[str, ...]:
        """What people should know about it."""
        return (f"{self._senseless} packets that make no sense were left out",) if self._senseless else ()

    def pictures(self, packets: Iterable[Packet[VideoStream]], facts: VideoFacts) -> Iterator[Packet[Stream]]:
        """The packets as this file's."""
        for packet in packets:
            packet.time_base = facts.time_base
            packet.stream = self._video
            self.frames += 1
            yield packet  # type: ignore[misc]  # a video track's packet is a packet

    def others(self, packets: Iterable[Packet[Stream]]) -> Iterator[Packet[Stream]]:
        """The packets as this file's, without those of tracks it has not."""
        for packet in self._moved(packets):
            if (ours := self.tracks.packet(packet)) is not None:
                yield ours

    def _moved(self, packets: Iterable[Packet[Stream]]) -> Iterator[Packet[Stream]]:
        """Texts at their new times; covers as they are."""
        for packet in packets:
            if text := self._texts.get(packet.stream_index):
                yield from text.packets(packet)
            else:
                yield packet
        for text in self._texts.values():
            yield from text.rest()

    def _add_video(self, first: Path, facts: VideoFacts) -> VideoStream:
        with _open_unit(first) as unit:
            template = unit.streams.video[0]
            stream = self.output.add_stream_from_template(template, opaque=True)
            stream.codec_context.framerate = facts.rate or Fraction(25)
            stream.time_base = facts.time_base
            mark(stream.codec_context)
            set_shape(stream, facts)
            stream.set_display_matrix(scaled_matrix(facts, template.codec_context.width))
            return stream


def _texts(parts: _Parts, tracks: Sequence[int]) -> dict[int, TextShift]:
    """What moves those of the tracks that are texts."""
    if parts.retiming is None:
        return {}
    return {index: TextShift(parts.retiming) for index in tracks if parts.film.streams[index].type == "subtitle"}


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
