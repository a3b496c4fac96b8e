"""Films in which somebody talks and pauses: H.264 with tones for words, small enough to cut many of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

RATE = 48_000
_BLOCK = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Talk:
    """A film. The defaults: 96x64 H.264 at 25 frames a second, a key frame a second, stereo AAC in MP4."""

    seconds: float = 4.0
    """Of pictures; 0 for a file without them."""
    words: Sequence[tuple[float, float]] = ()
    """When there is a tone."""
    level: float = 0.5
    """Of the tone's peaks."""
    noise: float = 0.0
    """Root mean square of noise beneath everything."""
    sound: float | None = None
    """Seconds of sound; None for as many as of pictures, 0 for a file without."""
    rate: int = 25
    times: Sequence[int] | None = None
    """When pictures are shown, in milliseconds, instead of by `rate`."""
    codec: str = "aac"

    @property
    def hears(self) -> float:
        """Seconds of sound."""
        return self.seconds if self.sound is None else self.sound


def make_talk(path: Path, talk: Talk) -> Path:
    """Write the film."""
    with av.open(str(path), "w") as output:
        video = _video(output, talk) if talk.seconds else None
        sound = output.add_stream(talk.codec, rate=RATE, layout="stereo") if talk.hears else None
        output.start_encoding()
        if sound is not None:
            _write_sound(output, sound, talk)
        if video is not None:
            _write_pictures(output, video, talk)
    return path


def _video(output: Any, talk: Talk) -> Any:
    options = {"preset": "ultrafast", "g": str(talk.rate), "keyint_min": str(talk.rate), "sc_threshold": "0"}
    video = output.add_stream("libx264", rate=talk.rate, options=options)
    video.width, video.height, video.pix_fmt = 96, 64, "yuv420p"
    video.codec_context.time_base = Fraction(1, 1000) if talk.times else Fraction(1, talk.rate)
    return video


def _write_pictures(output: Any, video: Any, talk: Talk) -> None:
    times = talk.times or range(round(talk.seconds * talk.rate))
    for number, pts in enumerate(times):
        pixels = np.full((64, 96, 3), 40, np.uint8)
        pixels[:, number % 96] = 220
        frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
        frame.pts, frame.time_base = pts, video.codec_context.time_base
        output.mux(video.encode(frame))
    output.mux(video.encode(None))


def _write_sound(output: Any, sound: Any, talk: Talk) -> None:
    noise = np.random.default_rng(3)
    size = sound.codec_context.frame_size or _BLOCK
    for start in range(0, round(talk.hears * RATE), size):
        times = (start + np.arange(size)) / RATE
        tone = talk.level * np.sin(2 * np.pi * 300 * times)
        spoken = np.any([(times >= begin) & (times < end) for begin, end in talk.words], axis=0)
        wave = (tone * spoken + noise.normal(0, talk.noise, size) if talk.noise else tone * spoken).astype(np.float32)
        frame = av.AudioFrame.from_ndarray(np.stack([wave, wave]), format="fltp", layout="stereo")
        frame.sample_rate, frame.pts, frame.time_base = RATE, start, Fraction(1, RATE)
        for made in av.AudioResampler(format=sound.codec_context.format, layout="stereo", rate=RATE).resample(frame):
            output.mux(sound.encode(made))
    output.mux(sound.encode(None))
