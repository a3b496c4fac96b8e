"""Films whose pictures carry their number and whose sound is what a test says: to see what became of each of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

Tone = Callable[[NDArray[np.float64]], NDArray[np.float64]]
"""From moments in seconds to samples."""
WIDTH, HEIGHT, CELL, BITS = 64, 48, 8, 16


def tone(hertz: float = 440.0, loud: float = 0.3) -> Tone:
    """A sine."""
    return lambda moments: loud * np.sin(2 * np.pi * hertz * moments)


TONE = tone()


def beeps(at: Sequence[float], *, seconds: float = 0.02, hertz: float = 1000.0) -> Tone:
    """Silence with short beeps that start at these moments."""

    def sound(moments: NDArray[np.float64]) -> NDArray[np.float64]:
        loud = np.zeros(len(moments), bool)
        for start in at:
            loud |= (moments >= start - 1e-9) & (moments < start + seconds)
        return np.where(loud, 0.8 * np.cos(2 * np.pi * hertz * moments), 0.0)

    return sound


@dataclass(frozen=True, slots=True, kw_only=True)
class Track:
    """A sound track."""

    sound: Tone = TONE
    codec: str = "aac"
    layout: str = "stereo"
    rate: int = 48_000
    seconds: float | None = None
    """None: as long as the film."""
    bit_rate: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Numbered:
    """64x48 H.264 with B-frames, lossless by default, a keyframe a second."""

    frames: int = 100
    rate: Fraction = Fraction(25)
    pts: Sequence[int] | None = None
    """In `time_base`; regular when None."""
    time_base: Fraction | None = None
    tracks: tuple[Track, ...] = (Track(),)
    flashes: Sequence[int] = ()
    """Numbers of pictures that are white but for their number."""
    same: Callable[[int], int] = lambda number: number
    """The number that a picture carries."""
    options: tuple[tuple[str, str], ...] = (("qp", "0"), ("preset", "veryfast"), ("g", "25"))
    codec: str = "libx264"

    @property
    def base(self) -> Fraction:
        """Unit of pts."""
        return self.time_base or 1 / self.rate

    @property
    def moments(self) -> list[Fraction]:
        """When each picture is shown, in seconds from the first."""
        pts = self.pts or [round(number / self.rate / self.base) for number in range(self.frames)]
        return [(tick - pts[0]) * self.base for tick in pts]

    @property
    def seconds(self) -> Fraction:
        """How long the film is."""
        return self.moments[-1] + 1 / self.rate


def picture(number: int, *, flash: bool = False) -> NDArray[np.uint8]:
    """Grey or white, with the number in sixteen cells of black and white on top."""
    grey = np.full((HEIGHT, WIDTH, 3), 255 if flash else 90, np.uint8)
    for bit in range(BITS):
        top, left = (bit // 8) * CELL, (bit % 8) * CELL
        grey[top : top + CELL, left : left + CELL] = 235 if number >> bit & 1 else 16
    return grey


def number_of(rgb: NDArray[np.uint8]) -> int:
    """The number that a picture of any size carries."""
    scale = rgb.shape[1] // WIDTH
    middle = CELL * scale // 2
    cells = (rgb[(bit // 8) * CELL * scale + middle, (bit % 8) * CELL * scale + middle, 1] for bit in range(BITS))
    return sum((int(cell) > 125) << bit for bit, cell in enumerate(cells))


def is_flash(rgb: NDArray[np.uint8]) -> bool:
    """Whether it is a white one."""
    return bool(rgb[-4, -4, 1] > 180)


def make_numbered(path: Path, film: Numbered = Numbered()) -> Path:
    """Write the film."""
    with av.open(str(path), "w") as output:
        video: Any = output.add_stream(film.codec, rate=film.rate, options=dict(film.options))
        video.width, video.height, video.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        video.codec_context.time_base = film.base
        sounds = [_add_track(output, track) for track in film.tracks]
        output.start_encoding()
        for stream, track in zip(sounds, film.tracks, strict=True):
            _write_sound(output, stream, track, float(film.seconds))
        pts = film.pts or [round(number / film.rate / film.base) for number in range(film.frames)]
        for number in range(film.frames):
            frame = av.VideoFrame.from_ndarray(picture(film.same(number), flash=number in film.flashes), format="rgb24")
            frame = frame.reformat(format="yuv420p")
            frame.pts, frame.time_base = pts[number], film.base
            output.mux(video.encode(frame))
        output.mux(video.encode(None))
    return path


def _add_track(output: Any, track: Track) -> Any:
    stream = output.add_stream(track.codec, rate=track.rate)
    stream.codec_context.layout = track.layout
    if track.bit_rate:
        stream.codec_context.bit_rate = track.bit_rate
    return stream


def _write_sound(output: Any, stream: Any, track: Track, seconds: float) -> None:
    moments = np.arange(round((track.seconds or seconds) * track.rate)) / track.rate
    channels = stream.codec_context.layout.nb_channels
    samples = np.repeat(track.sound(moments).astype(np.float32)[None], channels, axis=0)
    frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples), format="fltp", layout=track.layout)
    frame.sample_rate, frame.pts, frame.time_base = track.rate, 0, Fraction(1, track.rate)
    output.mux(stream.encode(frame))
    output.mux(stream.encode(None))


@dataclass(frozen=True, slots=True)
class Seen:
    """What a plain loop over a file's pictures finds."""

    numbers: list[int]
    times: list[Fraction]
    """In seconds."""
    flashes: list[Fraction]
    """When white pictures begin to be shown."""


def watch(path: Path) -> Seen:
    """Decode every picture."""
    numbers, times, flashes = [], [], []
    film: Any  # what PyAV says may be None is there in a file of ours
    with av.open(str(path)) as film:
        stream = film.streams.video[0]
        for frame in film.decode(stream):
            rgb = frame.to_ndarray(format="rgb24")
            numbers.append(number_of(rgb))
            times.append(frame.pts * stream.time_base)
            if is_flash(rgb):
                flashes.append(times[-1])
    return Seen(numbers, times, flashes)


@dataclass(frozen=True, slots=True, eq=False)
class Heard:
    """A decoded sound track."""

    samples: NDArray[np.float32]
    """`[channels, samples]`, the first at 0 s."""
    rate: int
    layout: str
    codec: str

    def onsets(self, *, level: float = 0.3, apart: float = 0.1) -> list[float]:
        """When it gets loud behind a while of silence, in seconds."""
        loud = np.flatnonzero(np.abs(self.samples[0]) > level) / self.rate
        return [float(at) for at, before in zip(loud, [-1.0, *loud[:-1]], strict=True) if at - before > apart]


def hear(path: Path, number: int = 0) -> Heard:
    """Decode a sound track; what a player would play before 0 s is left out, what it starts late with is silence."""
    film: Any
    with av.open(str(path)) as film:
        stream = film.streams.audio[number]
        pieces, start, resampler = [], None, None
        for frame in film.decode(stream):
            start = round(frame.pts * frame.time_base * frame.sample_rate) if start is None else start
            resampler = resampler or av.AudioResampler("fltp", frame.layout, frame.sample_rate)
            pieces += [piece.to_ndarray() for piece in resampler.resample(frame)]
        context = stream.codec_context
        samples = np.concatenate(pieces, axis=1) if pieces else np.zeros((context.layout.nb_channels, 0), np.float32)
        start = start or 0
        samples = np.pad(samples, ((0, 0), (start, 0))) if start > 0 else samples[:, -start:]
        return Heard(samples, context.sample_rate, context.layout.name, context.codec.canonical_name)
