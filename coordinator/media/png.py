"""A picture as PNG."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from av.codec.context import CodecContext
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from numpy.typing import NDArray


def png(pixels: NDArray[np.uint8]) -> bytes:
    """Lossless. `pixels`: height x width x 3, RGB. Raises av.FFmpegError."""
    context = CodecContext.create("png", "w")
    assert isinstance(context, VideoCodecContext)  # noqa: S101 - it is one for pictures
    context.width, context.height, context.pix_fmt = pixels.shape[1], pixels.shape[0], "rgb24"
    context.time_base = Fraction(1, 25)
    context.options = {"compression_level": "6", "pred": "sub"}
    picture = VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
    picture.pts = 0
    return b"".join(bytes(packet) for packet in (*context.encode(picture), *context.encode(None)))
