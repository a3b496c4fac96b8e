"""What a high-dynamic-range film says of the screen it was graded on and of its brightest picture.

Decoders hand it over as FFmpeg's own structures; encoders take it as text and write it into the stream.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from fractions import Fraction

from av.sidedata.sidedata import Type
from av.video.frame import VideoFrame

_MASTERING = struct.Struct("=22i")  # AVMasteringDisplayMetadata: ten AVRationals and two flags
_LIGHT = struct.Struct("=2I")  # AVContentLightMetadata


@dataclass(frozen=True, slots=True, kw_only=True)
class MasteringDisplay:
    """The screen of the grading room (SMPTE ST 2086)."""

    points: tuple[Fraction, ...]
    """CIE 1931 x and y of red, green, blue and white: eight numbers."""
    darkest: Fraction
    """Candela per square metre."""
    brightest: Fraction
    """Candela per square metre."""

    def text(self, *, whole: bool) -> str:
        """As encoders take it: whole steps of 1/50000 and 1/10000 (x264, x265), or decimals (SVT-AV1)."""
        red, green, blue, white = (self._point(number, whole=whole) for number in range(4))
        light = f"{_number(self.brightest, 10_000, whole=whole)},{_number(self.darkest, 10_000, whole=whole)}"
        return f"G({green})B({blue})R({red})WP({white})L({light})"

    def _point(self, number: int, *, whole: bool) -> str:
        x, y = self.points[2 * number : 2 * number + 2]
        return f"{_number(x, 50_000, whole=whole)},{_number(y, 50_000, whole=whole)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ContentLight:
    """How bright the film gets (CTA-861.3), in candela per square metre."""

    most: int
    """Of the brightest pixel: MaxCLL."""
    most_average: int
    """Of the brightest picture's average: MaxFALL."""

    @property
    def text(self) -> str:
        """As encoders take it."""
        return f"{self.most},{self.most_average}"


def mastering_display(frame: VideoFrame) -> MasteringDisplay | None:
    """What the frame says of the grading screen; None when that is nothing, or not all of it."""
    raw = side_data(frame, Type.MASTERING_DISPLAY_METADATA)
    if len(raw) < _MASTERING.size:
        return None
    *numbers, has_points, has_light = _MASTERING.unpack(raw[: _MASTERING.size])
    if not (has_points and has_light) or 0 in numbers[1::2]:
        return None
    values = [Fraction(numbers[at], numbers[at + 1]) for at in range(0, 20, 2)]
    return MasteringDisplay(points=tuple(values[:8]), darkest=values[8], brightest=values[9])


def content_light(frame: VideoFrame) -> ContentLight | None:
    """What the frame says of the film's brightness; None when that is nothing."""
    raw = side_data(frame, Type.CONTENT_LIGHT_LEVEL)
    if len(raw) < _LIGHT.size:
        return None
    most, most_average = _LIGHT.unpack(raw[: _LIGHT.size])
    return ContentLight(most=most, most_average=most_average)


_PER_FRAME = {
    Type.DOVI_RPU_BUFFER: "Dolby Vision's descriptions of single frames",
    Type.DOVI_METADATA: "Dolby Vision's descriptions of single frames",
    Type.DYNAMIC_HDR_PLUS: "HDR10+'s descriptions of single frames",
    Type.DYNAMIC_HDR_VIVID: "HDR Vivid's descriptions of single frames",
    Type.A53_CC: "closed captions inside the pictures",
}


def not_written(frame: VideoFrame) -> tuple[str, ...]:
    """What the frame carries that no encoder here writes again, in words."""
    return tuple(dict.fromkeys(words for kind, words in _PER_FRAME.items() if side_data(frame, kind)))


def side_data(frame: VideoFrame, kind: Type) -> bytes:
    """The frame's side data of a kind; empty when there is none, and when PyAV cannot list what there is."""
    try:
        data = frame.side_data.get(kind)  # type: ignore[call-overload]  # keys are Type; the stubs say str
    except ValueError:  # one is of a kind that PyAV does not know
        return b""
    return bytes(data) if data is not None else b""


def _number(value: Fraction, unit: int, *, whole: bool) -> str:
    return str(round(value * unit)) if whole else f"{float(value):.6g}"
