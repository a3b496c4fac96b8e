"""Frames through a real H.264 encoder and back, which is what a network meets in use."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from io import BytesIO

import av
import numpy as np
from av.video.reformatter import Interpolation

from exporters.declaration import Frames

RATE = Fraction(25)
_PRECISE = Interpolation.ACCURATE_RND | Interpolation.BILINEAR
_PRECISE_CHROMA = _PRECISE | Interpolation.FULL_CHR_H_INT


def h264(frames: Frames, *, crf: int, preset: str = "medium", plain: bool = False) -> Frames:
    """The frames `[time, height, width, 3]` as they come out of libx264 at this CRF; height and width must be even.

    Colours are converted as jobs convert them, or, with `plain`, as FFmpeg does when it is told nothing.
    """
    return np.stack(list(_decode(encode(frames, crf=crf, preset=preset), plain)))


def encode(frames: Frames, *, crf: int, preset: str = "medium") -> bytes:
    """The frames as H.264 in Matroska, 4:2:0, on one thread: the same pictures each time."""
    target = BytesIO()
    with av.open(target, "w", format="matroska") as container:
        stream = container.add_stream("libx264", rate=RATE, options={"crf": str(crf), "preset": preset})
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv420p"
        stream.codec_context.thread_count = 1
        for number, frame in enumerate(frames):
            picture = av.VideoFrame.from_ndarray(frame, format="rgb24").reformat(
                format="yuv420p", interpolation=_PRECISE
            )
            picture.pts, picture.time_base = number, 1 / RATE  # the encoder spends bits by duration
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
    return target.getvalue()


def _decode(stream: bytes, plain: bool) -> Iterator[Frames]:
    interpolation = Interpolation.BILINEAR if plain else _PRECISE_CHROMA
    with av.open(BytesIO(stream), "r") as container:
        for frame in container.decode(video=0):
            yield pixels(frame.reformat(format="rgb24", interpolation=interpolation))


def pixels(frame: av.VideoFrame) -> Frames:
    """A frame as uint8 RGB, `[height, width, 3]`."""
    return np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)
