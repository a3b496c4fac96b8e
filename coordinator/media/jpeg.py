"""Small pictures for people: one frame as JPEG, upright and with square pixels."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from av.codec.context import CodecContext
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace, Interpolation, VideoReformatter

from coordinator.media.colour import Converter
from coordinator.media.probe import VideoFacts, orientation

_QUALITIES = (3, 6, 10, 16, 24, 31)
"""The encoder's quantizers, best first."""


class Photographer:
    """Makes JPEGs of one film's frames. Not for use by two threads at once."""

    def __init__(self, facts: VideoFacts, *, width: int, most_bytes: int) -> None:
        """At most `width` pixels wide when upright; not above `most_bytes` unless even the worst quality is."""
        self._facts = facts
        self._width = width
        self._most_bytes = most_bytes
        self._converter = Converter(facts.colour)
        self._scaler = VideoReformatter()

    def jpeg(self, frame: VideoFrame) -> bytes:
        """The frame, as it is decoded or encoded. Raises av.FFmpegError."""
        picture = self._upright(frame)
        data = b""
        for quantizer in _QUALITIES:
            data = _encoded(picture, quantizer)
            if len(data) <= self._most_bytes:
                break
        return data

    def _upright(self, frame: VideoFrame) -> VideoFrame:
        mirrored, turns = orientation(self._facts.display_matrix)
        width, height = self._size(frame, sideways=turns % 2 == 1)
        samples = self._converter.to_rgb(frame, width, height).to_ndarray()
        pixels = np.ascontiguousarray(np.rot90(samples[:, ::-1] if mirrored else samples, -turns), np.uint8)
        return self._scaler.reformat(
            VideoFrame.from_ndarray(pixels, format="rgb24"),
            format="yuvj420p",
            src_color_range=ColorRange.JPEG,
            dst_colorspace=Colorspace.ITU601,
            dst_color_range=ColorRange.JPEG,
            interpolation=Interpolation.BILINEAR,
            threads=1,
        )

    def _size(self, frame: VideoFrame, *, sideways: bool) -> tuple[int, int]:
        """Width and height before the picture is turned."""
        aspect = self._facts.sample_aspect_ratio or Fraction(1)
        width, height = float(frame.width * aspect), float(frame.height)
        shrink = min(1.0, self._width / (height if sideways else width))
        return _even(width * shrink), _even(height * shrink)


def _even(number: float) -> int:
    return max(2, int(number) // 2 * 2)


def _encoded(picture: VideoFrame, quantizer: int) -> bytes:
    context = CodecContext.create("mjpeg", "w")
    assert isinstance(context, VideoCodecContext)  # noqa: S101 - it is one for pictures
    context.width, context.height, context.pix_fmt = picture.width, picture.height, "yuvj420p"
    context.time_base = Fraction(1, 25)
    context.color_range = ColorRange.JPEG
    context.options = {"qmin": str(quantizer), "qmax": str(quantizer)}
    picture.pts = 0
    return b"".join(bytes(packet) for packet in (*context.encode(picture), *context.encode(None)))
