"""A clip drawn on the spot: H.264 4:2:0 in MP4 with moving bars, a moving square and an AAC tone."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

AUDIO_RATE = 48_000
_AUDIO_SAMPLES = 1024


def draw_clip(path: Path, *, seconds: float, width: int, height: int, fps: int = 25) -> None:
    """Write a clip of that many seconds."""
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=fps, options={"crf": "18", "preset": "veryfast"})
        video.width, video.height, video.pix_fmt = width, height, "yuv420p"
        audio = container.add_stream("aac", rate=AUDIO_RATE, layout="stereo")
        for number in range(round(seconds * fps)):
            frame = av.VideoFrame.from_ndarray(_picture(width, height, number), format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, fps)
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        for start in range(0, round(seconds * AUDIO_RATE), _AUDIO_SAMPLES):
            container.mux(audio.encode(_tone(start)))
        container.mux(audio.encode(None))


def _picture(width: int, height: int, number: int) -> NDArray[np.uint8]:
    y, x = np.mgrid[0:height, 0:width]
    picture = np.stack([(x + 3 * number) * 255 // width, y * 255 // height, (x ^ y) + number], axis=-1).astype(np.uint8)
    side = height // 6
    left, top = (5 * number) % (width - side), (3 * number) % (height - side)
    picture[top : top + side, left : left + side] = (240, 60, 40)
    return picture


def _tone(start: int) -> av.AudioFrame:
    times = np.arange(start, start + _AUDIO_SAMPLES) / AUDIO_RATE
    wave = (0.2 * np.sin(2 * np.pi * 440 * times)).astype(np.float32)
    frame = av.AudioFrame.from_ndarray(np.stack([wave, wave]), format="fltp", layout="stereo")
    frame.sample_rate, frame.pts, frame.time_base = AUDIO_RATE, start, Fraction(1, AUDIO_RATE)
    return frame
