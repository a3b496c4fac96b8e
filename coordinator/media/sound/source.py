"""A sound track's samples, at their places in the film."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, cast

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.packet import Packet
from av.stream import Stream
from numpy.typing import NDArray

from coordinator.media.errors import reading
from coordinator.media.limits import Budget, MediaLimits
from coordinator.media.packets import packets

log = logging.getLogger(__name__)

Samples = NDArray[np.floating[Any]]
"""`[channels, samples]`, full scale is 1."""
_SLACK = Fraction(5, 1000)
"""Seconds by which a packet's time may be off what came before it: some containers count in milliseconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SoundFormat:
    """What samples are turned into when they are decoded."""

    rate: int
    layout: str
    channels: int
    deep: bool = False
    """Calculated with 64 bits, because a sample has more than 24."""

    @property
    def name(self) -> str:
        """FFmpeg's name of the sample format."""
        return "dblp" if self.deep else "fltp"

    @property
    def dtype(self) -> type[np.floating[Any]]:
        """Of arrays of samples."""
        return np.float64 if self.deep else np.float32


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """Consecutive samples."""

    position: int
    """Of the first of them: samples from the film's first picture on. Negative before it."""
    samples: Samples

    @property
    def end(self) -> int:
        """Behind the last."""
        return self.position + int(self.samples.shape[1])

    def between(self, first: int, last: int) -> Samples:
        """Its samples at these places, which are inside it."""
        return self.samples[:, first - self.position : last - self.position]


def decoded(
    film: InputContainer,
    track: AudioStream,
    form: SoundFormat,
    *,
    origin: Fraction,
    limits: MediaLimits,
    check: Callable[[], None] = lambda: None,
) -> Iterator[Block]:
    """The track's samples in the order of the file. `origin`: the first picture's time, in seconds.

    Packets that cannot be decoded leave a hole; a file that breaks off ends there. `check` is called for every packet
    and may raise. Raises MediaError.
    """
    converter, budget = _Converter(form), Budget(limits, clock=lambda: 0.0)  # no picture is waited for
    places = _Places(form.rate, origin)
    for packet in packets(film, [track.index], on_break=lambda error: log.warning("the file ends early: %s", error)):
        check()
        budget.packet(packet.size)
        for frame in _decode(track, packet):
            yield from (places.block(*piece) for piece in converter.convert(frame))
    for frame in _decode(track, None):
        yield from (places.block(*piece) for piece in converter.convert(frame))
    yield from (places.block(*piece) for piece in converter.flush())


def _decode(track: AudioStream, packet: Packet[Stream] | None) -> list[AudioFrame]:
    with reading("decode the sound"):
        try:
            return track.codec_context.decode(packet)
        except (av.error.InvalidDataError, av.error.EOFError, av.error.BlockingIOError) as error:
            log.debug("a damaged packet of sound is skipped: %s", error)
            return []


class _Places:
    """Puts pieces at their places: by their time where it leaps, else each behind the one before."""

    def __init__(self, rate: int, origin: Fraction) -> None:
        self._rate = rate
        self._origin = origin
        self._slack = round(_SLACK * rate)
        self._next: int | None = None

    def block(self, seconds: Fraction | None, samples: Samples) -> Block:
        at = self._next if seconds is None else round((seconds - self._origin) * self._rate)
        if self._next is not None and (at is None or abs(at - self._next) <= self._slack):
            at = self._next
        block = Block(at or 0, samples)
        self._next = block.end
        return block


def converts(frame: AudioFrame, form: SoundFormat) -> bool:
    """Whether frames like this one can be turned into samples of that kind."""
    try:
        av.AudioResampler(form.name, form.layout, form.rate).resample(frame)
    except (ValueError, av.FFmpegError):
        return False
    return True


class _Converter:
    """Frames of any kind to samples of one. A track may change its kind in the middle."""

    def __init__(self, form: SoundFormat) -> None:
        self._form = form
        self._resampler: av.AudioResampler | None = None
        self._kind: tuple[str, str, int] | None = None

    def convert(self, frame: AudioFrame) -> Iterator[tuple[Fraction | None, Samples]]:
        """Samples and their time, in seconds."""
        kind, form = (frame.format.name, frame.layout.name, frame.sample_rate), self._form
        if kind != self._kind:
            yield from self.flush()
            if kind == (form.name, form.layout, form.rate):
                yield from _samples(frame)
                return
            self._kind, self._resampler = kind, av.AudioResampler(form.name, form.layout, form.rate)
        yield from self._pieces(frame)

    def flush(self) -> Iterator[tuple[Fraction | None, Samples]]:
        """What a change of rate still holds."""
        if self._resampler is not None:
            yield from self._pieces(None)
            self._resampler = self._kind = None

    def _pieces(self, frame: AudioFrame | None) -> Iterator[tuple[Fraction | None, Samples]]:
        assert self._resampler is not None  # noqa: S101 - `convert` has made it
        with reading("convert the sound"):
            made = self._resampler.resample(frame)
        for piece in made:
            yield from _samples(piece)


def _samples(frame: AudioFrame) -> Iterator[tuple[Fraction | None, Samples]]:
    """Those of a frame that has the right kind, and their time."""
    if frame.samples:
        seconds = frame.pts * frame.time_base if frame.pts is not None and frame.time_base else None
        yield seconds, cast("Samples", frame.to_ndarray())
