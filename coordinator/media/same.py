"""Whether two decoded pictures are the same, sample for sample."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

import numpy as np
from av.video.frame import VideoFrame
from numpy.typing import NDArray

_GLANCE = 16
"""Every so manieth line is looked at first: most pictures differ there already."""


def same_picture(one: VideoFrame, other: VideoFrame) -> bool:
    """Whether all samples of all planes are equal. What pads the lines does not count."""
    if (one.format.name, one.width, one.height) != (other.format.name, other.width, other.height):
        return False
    if one.format.has_palette or (one.colorspace, one.color_range) != (other.colorspace, other.color_range):
        return False  # the same numbers may be other colours
    pairs = list(zip(_planes(one), _planes(other), strict=True))
    return all(np.array_equal(a[::_GLANCE], b[::_GLANCE]) for a, b in pairs) and all(
        np.array_equal(a, b) for a, b in pairs
    )


def checksum(frame: VideoFrame) -> int:
    """CRC-32 of the samples; equal for equal pictures."""
    value = 0
    for plane in () if frame.format.has_palette else _planes(frame):
        value = zlib.crc32(np.ascontiguousarray(plane).data, value)
    return value


def _planes(frame: VideoFrame) -> Iterator[NDArray[np.uint8]]:
    """The lines of each plane as bytes, without their padding."""
    for number, plane in enumerate(frame.planes):
        lines = np.frombuffer(memoryview(plane), np.uint8).reshape(plane.height, plane.line_size)
        yield lines[:, : _line_bytes(frame, number)]


def _line_bytes(frame: VideoFrame, plane: int) -> int:
    """Bytes of one of the plane's lines that hold samples."""
    form = frame.format
    if len(frame.planes) == 1:
        return -(-form.padded_bits_per_pixel * frame.width // 8)
    return sum(part.width * -(-part.bits // 8) for part in form.components if part.plane == plane)
