"""One pass over a film: the times of its pictures, and the samples of its sound in large blocks. No picture is decoded.

What it costs is decoding the sound. Frames of it are short (1024 samples), so they are gathered into blocks of about a
second before anything is calculated: a call for each frame would cost as much as decoding it.
"""

from __future__ import annotations

import array
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Protocol

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.packet import Packet
from av.stream import Stream
from numpy.typing import NDArray

from coordinator.media.errors import reading
from coordinator.media.levels import Samples
from coordinator.media.limits import Budget, MediaLimits
from coordinator.media.open import main_video, open_input
from coordinator.media.packets import packets
from coordinator.media.probe import VideoFacts
from framewire.edits.grid import FrameGrid, Grid, RegularGrid
from framewire.errors import ErrorCode, MediaError

_BLOCK = 1 << 16
"""Samples of a channel."""
_SLACK = Fraction(1, 50)
"""Seconds by which a frame's time may be off what came before it and still follow it: containers round."""
_USUAL_RATE = Fraction(25)
log = logging.getLogger(__name__)


class Ear(Protocol):
    """Takes a track's samples."""

    def take(self, position: int, samples: Samples) -> None:
        """Samples from this place on, counted from the film's first picture. The array is reused after the call."""


MakeEar = Callable[[int], Ear]
"""From a sample rate."""


def listen(
    path: Path,
    facts: VideoFacts,
    ears: Mapping[int, MakeEar],
    *,
    limits: MediaLimits,
    check: Callable[[], None],
) -> Grid:
    """Give the sound of tracks, numbered from 0 among those of sound, to their ears; return where cuts can fall.

    Packets that cannot be decoded leave silence; a file that breaks off ends there. `check` is called for every packet
    and may raise. Raises MediaError.
    """
    with open_input(path, limits) as film, reading("read the file"):
        video = main_video(film, limits)
        pictures = _Pictures(video.index, facts)
        origin = facts.first_pts * facts.time_base
        tracks = {film.streams.audio[number].index: (film.streams.audio[number], make) for number, make in ears.items()}
        listeners = {index: _Listener(track, make, origin) for index, (track, make) in tracks.items()}
        for packet in _counted(film, [video.index, *listeners], limits, check):
            listener = listeners.get(packet.stream_index)
            if listener is None:
                pictures.take(packet)
            else:
                listener.take(packet)
        for listener in listeners.values():
            listener.finish()
        return pictures.grid()


def _counted(
    film: InputContainer, tracks: Sequence[int], limits: MediaLimits, check: Callable[[], None]
) -> Iterator[Packet[Stream]]:
    budget = Budget(limits, clock=lambda: 0.0)  # no picture is waited for
    for packet in packets(film, tracks, on_break=lambda error: log.warning("the file ends early: %s", error)):
        check()
        budget.packet(packet.size)
        yield packet


class _Pictures:
    """Collects when pictures are shown. Memory: eight bytes a picture."""

    def __init__(self, index: int, facts: VideoFacts) -> None:
        self._facts = facts
        self._times = array.array("q")
        self._end = facts.first_pts
        self._untold = 0

    def take(self, packet: Packet[Stream]) -> None:
        pts = packet.pts
        if packet.is_discard or (pts is not None and pts < self._facts.first_pts):
            return  # hidden by the container, or nobody can decode it
        if pts is None:
            self._untold += 1
            return
        self._times.append(pts)
        self._end = max(self._end, pts + (packet.duration or 0))

    def grid(self) -> Grid:
        rate = self._facts.rate or _USUAL_RATE
        if self._untold or not self._times:
            return RegularGrid(rate=rate, frames=max(1, self._untold + len(self._times)))
        times: NDArray[np.int64] = np.frombuffer(self._times, np.int64)
        last = int(times.max())
        end = self._end if self._end > last else last + max(1, round(1 / rate / self._facts.time_base))
        return FrameGrid(times, self._facts.time_base, end)


class _Listener:
    """Decodes one track and gathers its samples into blocks."""

    def __init__(self, track: AudioStream, make: MakeEar, origin: Fraction) -> None:
        self._track = track
        self._make = make
        self._origin = origin
        self._ear: Ear | None = None
        self._kind, self._slack = (0, 0), 0
        self._block = np.empty((0, 0), np.float32)
        self._start: int | None = None  # the block's place
        self._count = 0  # samples it holds
        self._unit, self._first = (1, 1), 0

    def take(self, packet: Packet[Stream] | None) -> None:
        try:
            frames = self._track.codec_context.decode(packet)
        except (av.error.InvalidDataError, av.error.EOFError, av.error.BlockingIOError) as error:
            log.debug("a damaged packet of sound is skipped: %s", error)
            return
        for frame in frames:
            self._gather(frame)

    def finish(self) -> None:
        self.take(None)
        self._flush()

    def _gather(self, frame: AudioFrame) -> None:
        count, rate = frame.samples, frame.sample_rate
        samples = _samples(frame)
        if (rate, len(samples)) != self._kind:
            self._become(frame, rate, len(samples))
        following = None if self._start is None else self._start + self._count
        place = self._place(frame, following)
        if following is None or abs(place - following) > self._slack or count > self._block.shape[1] - self._count:
            self._flush()
            self._start = place if following is None or abs(place - following) > self._slack else following
        for channel, values in zip(self._block, samples, strict=True):
            channel[self._count : self._count + count] = values
        self._count += count

    def _place(self, frame: AudioFrame, following: int | None) -> int:
        if frame.pts is None:
            return following or 0
        numerator, denominator = self._unit
        return int(frame.pts * numerator // denominator) - self._first

    def _become(self, frame: AudioFrame, rate: int, channels: int) -> None:
        """A track may change its kind in the middle."""
        self._flush()
        if self._kind[0] not in (0, rate):
            raise MediaError(
                "the sound's sample rate changes in the middle; convert the file first",
                code=ErrorCode.MEDIA_UNSUPPORTED_CODEC,
            )
        self._kind, self._slack = (rate, channels), round(_SLACK * rate)
        unit = (frame.time_base or Fraction(1, rate)) * rate
        self._unit, self._first = (unit.numerator, unit.denominator), round(self._origin * rate)
        self._block = np.empty((channels, _BLOCK + max(frame.samples, 1 << 14)), np.float32)
        self._ear = self._ear or self._make(rate)

    def _flush(self) -> None:
        if self._start is not None and self._ear is not None and self._count:
            self._ear.take(self._start, self._block[:, : self._count])
            self._start, self._count = self._start + self._count, 0


_SCALES = {"u8": 1 << 7, "s16": 1 << 15, "s32": 1 << 31, "s64": 1 << 63}


def _samples(frame: AudioFrame) -> Sequence[NDArray[np.float32]] | Samples:
    """A row for each channel, full scale is 1."""
    name = frame.format.name
    if name == "fltp":  # what AAC, Opus, Vorbis, AC-3 and MP3 are decoded to: no copy
        return [np.frombuffer(plane, np.float32, frame.samples) for plane in frame.planes]  # type: ignore[call-overload]  # a plane is a buffer
    values = frame.to_ndarray()
    if not frame.format.is_planar:
        values = values.reshape(frame.samples, -1).T
    scale = _SCALES.get(name.removesuffix("p"))
    if scale is None:
        return values.astype(np.float32)
    return (values.astype(np.float32) - (128 if name.startswith("u8") else 0)) / np.float32(scale)
