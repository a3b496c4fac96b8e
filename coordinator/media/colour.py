"""Which numbers mean which colours: the YUV matrix, its range, and the tags that say so.

Frames become RGB with the stream's own matrix and range and go back with the same ones, so
that a model that changes nothing changes no colour.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from av.video.frame import PictureType, VideoFrame
from av.video.reformatter import ColorRange, Colorspace, Interpolation, VideoReformatter
from numpy.typing import NDArray

from coordinator.media.depth import DEEP_FORMAT, Detail
from coordinator.media.siting import LEFT, Siting, chroma_place

# FFmpeg's AVColorSpace numbers (libavutil/pixfmt.h), which PyAV passes through as plain integers
_RGB, _BT709, _UNSPECIFIED, _RESERVED, _FCC, _BT470BG, _SMPTE170M, _SMPTE240M, _BT2020_NCL = 0, 1, 2, 3, 4, 5, 6, 7, 9
_BT2020_CL = 10
_MATRIX = {
    _BT709: Colorspace.ITU709,
    _FCC: Colorspace.FCC,
    _BT470BG: Colorspace.ITU601,
    _SMPTE170M: Colorspace.ITU601,
    _SMPTE240M: Colorspace.SMPTE240M,
    _BT2020_NCL: Colorspace.BT2020,
}
_STAND_IN = {_BT2020_CL: Colorspace.BT2020}
"""Of matrices that nothing here converts by, those that are near another; for the rest it is BT.709's."""
MATRIX_NAMES = {
    0: "RGB",
    1: "BT.709",
    4: "FCC",
    5: "BT.470BG",
    6: "SMPTE 170M",
    7: "SMPTE 240M",
    8: "YCgCo",
    9: "BT.2020",
    10: "BT.2020 constant luminance",
    11: "SMPTE 2085",
    12: "derived from primaries",
    14: "ICtCp",
    15: "IPT-C2",
}
_PQ, _HLG = 16, 18
_FULL = int(ColorRange.JPEG)
_LIMITED = int(ColorRange.MPEG)
_HD_LINES = 720  # players take untagged pictures of this height and more for BT.709, smaller ones for BT.601

# the same on every processor; from RGB, accurate rounding changes no bit of that and takes a quarter longer
_TO_YUV = Interpolation.BICUBIC | Interpolation.BITEXACT
_TO_RGB = _TO_YUV | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT


@dataclass(frozen=True, slots=True, kw_only=True)
class Colour:
    """A stream's colour description, complete: nothing is left unspecified that changes a pixel."""

    tag: int
    """AVColorSpace that the output is tagged with."""
    range: int
    """AVColorRange: 1 limited, 2 full."""
    primaries: int
    """AVColorPrimaries, as found."""
    transfer: int
    """AVColorTransferCharacteristic, as found."""
    place: str = LEFT
    """Where chroma lies, as libavfilter's `setparams` names it."""

    @classmethod
    def of(cls, frame: VideoFrame, codec: str = "") -> Colour:
        """The frame's description, with what it does not say filled in as players do. `codec`: FFmpeg's name."""
        tag = int(frame.colorspace)
        if tag in (_RGB, _UNSPECIFIED, _RESERVED):
            tag = _BT709 if frame.height >= _HD_LINES or frame.format.is_rgb else _SMPTE170M
        full = int(frame.color_range) == _FULL or frame.format.name.startswith("yuvj")
        return cls(
            tag=tag,
            range=_FULL if full and not frame.format.is_rgb else _LIMITED,
            primaries=int(frame.color_primaries),
            transfer=int(frame.color_trc),
            place=LEFT if frame.format.is_rgb else chroma_place(frame, codec),
        )

    def of_another(self, frame: VideoFrame) -> Colour:
        """That of another picture of the stream: this one, but for a matrix or a range that it names itself."""
        if frame.format.is_rgb:
            return self
        tag, limits = int(frame.colorspace), int(frame.color_range)
        tag = self.tag if tag in (_RGB, _UNSPECIFIED, _RESERVED) else tag
        limits = _FULL if frame.format.name.startswith("yuvj") else limits or self.range
        return self if (tag, limits) == (self.tag, self.range) else replace(self, tag=tag, range=limits)

    @property
    def matrix(self) -> Colorspace:
        """The same as `tag`, as swscale numbers it; another one where it knows no such."""
        return _MATRIX.get(self.tag, _STAND_IN.get(self.tag, Colorspace.ITU709))

    @property
    def misread(self) -> str:
        """The matrix's name, where another one has to stand in for it; empty where it is known."""
        return "" if self.tag in _MATRIX else MATRIX_NAMES.get(self.tag, str(self.tag))

    @property
    def high_dynamic_range(self) -> bool:
        """Whether the transfer function is PQ or HLG."""
        return self.transfer in (_PQ, _HLG)


class Converter:
    """YUV to RGB and back for one stream. Not for use by two threads at once."""

    def __init__(self, colour: Colour, *, threads: int = 1) -> None:
        self._colour = colour
        self._threads = threads
        self._source, self._result = Siting(colour.place), Siting(colour.place)
        self._scaler = VideoReformatter()
        self._packer = VideoReformatter()
        self._back = VideoReformatter()  # one for each direction: a change of direction makes it set up its tables anew
        self._deep = VideoReformatter()

    def to_rgb(self, frame: VideoFrame, width: int, height: int) -> VideoFrame:
        """`frame` as packed 8-bit RGB of the given size.

        YUV by way of planes: swscale computes those in vectors, and packed pixels one by one. The sum takes a third.
        """
        rgb = frame.format.is_rgb
        made = self._scaler.reformat(
            frame if rgb else self._source.set(frame),
            width=width,
            height=height,
            format="rgb24" if rgb else "gbrp",
            src_colorspace=None if rgb else self._colour.matrix,
            src_color_range=None if rgb else self._colour.range,
            dst_color_range=ColorRange.JPEG,
            interpolation=_TO_RGB,
            threads=self._threads,
        )
        return made if rgb else self._packed(made)

    def to_yuv(self, frame: VideoFrame, *, depth: int = 8) -> VideoFrame:
        """`frame`, packed 8-bit RGB, as 4:2:0 YUV of 8 or 10 bits, tagged."""
        if depth > 8:
            yuv = self._converted(frame, DEEP_FORMAT)
        elif self._colour.range == _FULL:
            # with full range swscale cuts the last bit off instead of rounding: half a level of colour at 8 bits
            yuv = _rounded(self._converted(frame, "yuv420p12le"))
        else:
            yuv = self._converted(frame, "yuv420p")
        return self.tagged(yuv)

    def as_it_is(self, frame: VideoFrame, pixel_format: str) -> VideoFrame | None:
        """A decoded frame in this format, tagged, sample for sample; None when that takes a conversion."""
        if frame.format.name == "yuvj420p" and pixel_format == "yuv420p":  # its old name with full range
            full = ColorRange.JPEG
            frame = self._back.reformat(frame, format=pixel_format, src_color_range=full, dst_color_range=full)
        return self.tagged(frame) if frame.format.name == pixel_format else None

    def tagged(self, yuv: VideoFrame) -> VideoFrame:
        """The same frame with the stream's description; an encoder may choose by itself how it is coded."""
        yuv.pict_type = PictureType.NONE
        yuv.color_range = self._colour.range
        yuv.colorspace = self._colour.tag
        yuv.color_primaries = self._colour.primaries
        yuv.color_trc = self._colour.transfer
        return yuv

    def detail(self, frame: VideoFrame, rgb: VideoFrame) -> Detail:
        """What `rgb`, made of `frame` by `to_rgb` without a change of size, could not hold of its last bits."""
        deep = (
            frame
            if frame.format.name == DEEP_FORMAT
            else self._deep.reformat(
                frame,
                format=DEEP_FORMAT,
                src_colorspace=self._colour.matrix,
                dst_colorspace=self._colour.matrix,
                threads=self._threads,
            )
        )
        return Detail.between(deep, self._converted(rgb, DEEP_FORMAT))

    def _packed(self, planes: VideoFrame) -> VideoFrame:
        return self._packer.reformat(
            planes,
            format="rgb24",
            src_color_range=ColorRange.JPEG,
            dst_color_range=ColorRange.JPEG,
            interpolation=_TO_RGB,
            threads=self._threads,
        )

    def _converted(self, frame: VideoFrame, pixel_format: str) -> VideoFrame:
        return self._back.reformat(
            self._result.set(frame),
            format=pixel_format,
            src_color_range=ColorRange.JPEG,
            dst_colorspace=self._colour.matrix,
            dst_color_range=self._colour.range,
            interpolation=_TO_YUV,
            threads=self._threads,
        )


def _tables() -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """For luma and for chroma, which was cut off in the middle of a step: 12 bits of full range to the nearest 8."""
    deep = np.arange(1 << 12)
    luma, chroma = deep * 255 / 4095, (deep + 0.5 - 2048) * 255 / 4095 + 128
    return np.rint(luma).astype(np.uint8), np.rint(chroma).clip(0, 255).astype(np.uint8)


_LUMA, _CHROMA = _tables()


def _rounded(deep: VideoFrame) -> VideoFrame:
    """A `yuv420p12le` frame of full range as `yuv420p`."""
    frame = VideoFrame(deep.width, deep.height, "yuv420p")
    for table, source, target in zip((_LUMA, _CHROMA, _CHROMA), deep.planes, frame.planes, strict=True):
        samples = np.frombuffer(memoryview(source), np.uint16).reshape(source.height, -1)[:, : source.width]
        rows = np.frombuffer(memoryview(target), np.uint8).reshape(target.height, -1)[:, : target.width]
        np.take(table, samples, out=rows, mode="clip")
    return frame
