"""One pass over a film: the times of its pictures, and the samples of its sound in large blocks. No picture is decoded.

What it costs is decoding the sound. Frames of it are short (1024 samples), so they are gathered into blocks of about a
second before anything is calculated: a call for each frame would cost as much as decoding it. Ears have a thread of
their own, so that on two processors decoding alone bounds the pace.
"""

from __future__ import annotations

import array
import itertools
import logging
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path
from typing import Any, Protocol

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.plane import AudioPlane
from av.audio.stream import AudioStream
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
_AHEAD = 4
"""Blocks of a track that wait for its ear."""
_SLACK = Fraction(1, 50)
"""Seconds by which a frame's time may be off what came before it and still follow it: containers round."""
_USUAL_RATE = Fraction(25)
_TOLD = 256
"""Pictures between two calls of who wants to know how far it is."""
log = logging.getLogger(__name__)


class Ear(Protocol):
    """Takes a track's samples."""

    def take(self, position: int, samples: Samples) -> None:
        """Samples from this place on, counted from the film's first picture. Nobody changes the array."""


MakeEar = Callable[[int], Ear]
"""From a sample rate."""


def listen(
    path: Path,
    facts: VideoFacts,
    ears: Mapping[int, MakeEar],
    *,
    limits: MediaLimits,
    check: Callable[[], None],
    passed: Callable[[int], None] = lambda _: None,
) -> Grid:
    """Give the sound of tracks, numbered from 0 among those of sound, to their ears; return where cuts can fall.

    Ears are called in another thread, one at a time; when this returns or raises, for the last time.

    Packets that cannot be decoded leave silence; a file that breaks off ends there. Sound that says it comes behind the
    longest film is not heard. `check` is called for every packet and may raise; `passed` now and then with how many
    pictures went by. Raises MediaError; MEDIA_TOO_LARGE for pictures that lie so far behind.
    """
    with open_input(path, limits) as film, reading("read the file"), ThreadPoolExecutor(1) as worker:
        video = main_video(film, limits)
        pictures = _Pictures(video.index, facts, passed)
        origin = facts.first_pts * facts.time_base
        tracks = {film.streams.audio[number].index: (film.streams.audio[number], make) for number, make in ears.items()}
        listeners = {index: _Listener(track, make, origin, worker, limits) for index, (track, make) in tracks.items()}
        take = {video.index: pictures.take} | {index: listener.take for index, listener in listeners.items()}
        budget = Budget(limits, clock=lambda: 0.0)  # no picture is waited for
        for packet in packets(film, list(take), on_break=lambda error: log.warning("the file ends early: %s", error)):
            check()
            budget.packet(packet.size)
            take[packet.stream_index](packet)
        for listener in listeners.values():
            listener.finish()
        grid = pictures.grid()
        limits.check_duration(float(grid.end))
        return grid


class _Pictures:
    """Collects when pictures are shown. Memory: eight bytes a picture."""

    def __init__(self, index: int, facts: VideoFacts, passed: Callable[[int], None]) -> None:
        self._facts = facts
        self._passed = passed
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
        if len(self._times) % _TOLD == 0:
            self._passed(len(self._times))
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

    def __init__(
        self, track: AudioStream, make: MakeEar, origin: Fraction, worker: Executor, limits: MediaLimits
    ) -> None:
        self._worker = worker
        self._limits = limits
        self._waiting: deque[Future[None]] = deque()
        self._codec = track.codec_context
        self._make = make
        self._origin = origin
        self._ear: Ear | None = None
        self._rate = self._slack = self._end = 0
        self._unit, self._first = (1, 1), 0
        self._frames: list[AudioFrame] = []
        self._start: int | None = None  # place of the first of them
        self._following = 0  # place behind the last of them

    def take(self, packet: Packet[Stream] | None) -> None:
        try:
            frames = self._codec.decode(packet)
        except (av.error.InvalidDataError, av.error.EOFError, av.error.BlockingIOError) as error:
            log.debug("a damaged packet of sound is skipped: %s", error)
            return
        for frame in frames:
            self._gather(frame)

    def finish(self) -> None:
        self.take(None)
        self._flush()
        while self._waiting:
            self._waiting.popleft().result()

    def _gather(self, frame: AudioFrame) -> None:
        if frame.sample_rate != self._rate:
            self._begin(frame)
        pts, (numerator, denominator) = frame.pts, self._unit
        place = self._following if pts is None else pts * numerator // denominator - self._first
        if place >= self._end:  # ears count from the first picture on: one wrong time stamp would take all memory
            return
        if self._start is None or not -self._slack <= place - self._following <= self._slack:
            self._flush()
            self._start = self._following = place
        self._frames.append(frame)
        self._following += frame.samples
        if self._following - self._start >= _BLOCK:
            self._flush()

    def _begin(self, frame: AudioFrame) -> None:
        if self._ear is not None:
            raise MediaError(
                "the sound's sample rate changes in the middle; convert the file first",
                code=ErrorCode.MEDIA_UNSUPPORTED_CODEC,
            )
        self._rate = frame.sample_rate
        unit = (frame.time_base or Fraction(1, self._rate)) * self._rate
        self._unit, self._first = (unit.numerator, unit.denominator), round(self._origin * self._rate)
        self._slack = round(_SLACK * self._rate)
        self._end = round(self._limits.max_duration * self._rate)
        self._ear = self._make(self._rate)

    def _flush(self) -> None:
        """Hand over what has been gathered; wait while the ear is far behind."""
        if self._ear is not None and self._start is not None:
            self._waiting.append(self._worker.submit(_hand_over, self._ear, self._start, self._frames))
            self._start = self._following
        self._frames = []
        while len(self._waiting) > _AHEAD:
            self._waiting.popleft().result()


def _hand_over(ear: Ear, place: int, frames: Sequence[AudioFrame]) -> None:
    """A track may change its kind in the middle."""
    for _, group in itertools.groupby(frames, key=lambda frame: (frame.format.name, frame.layout.name)):
        samples = _samples(list(group))
        ear.take(place, samples)
        place += samples.shape[1]


_SCALES = {"u8": 1 << 7, "s16": 1 << 15, "s32": 1 << 31, "s64": 1 << 63}


def _samples(frames: Sequence[AudioFrame]) -> Samples:
    """Frames of one kind, one behind the other: a row for each channel, full scale is 1."""
    name = frames[0].format.name
    if name == "fltp":  # what AAC, Opus, Vorbis, AC-3 and MP3 are decoded to: copied once
        planes = zip(*(frame.planes for frame in frames), strict=True)
        lengths = [frame.samples for frame in frames]
        return np.stack([_joined(row, lengths) for row in planes])
    values = np.concatenate([_values(frame) for frame in frames], axis=1)
    scale = _SCALES.get(name.removesuffix("p"))
    if scale is None:
        return values.astype(np.float32)
    return (values.astype(np.float32) - (128 if name.startswith("u8") else 0)) / np.float32(scale)


def _joined(planes: Sequence[AudioPlane], lengths: Sequence[int]) -> Samples:
    pieces = [
        np.frombuffer(plane, np.float32, length)  # type: ignore[call-overload]  # a plane is a buffer
        for plane, length in zip(planes, lengths, strict=True)
    ]
    return np.concatenate(pieces)


def _values(frame: AudioFrame) -> NDArray[Any]:
    values = frame.to_ndarray()
    return values if frame.format.is_planar else values.reshape(frame.samples, -1).T
