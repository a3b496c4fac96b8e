"""H.264 as MP4 and Matroska carry it: the configuration record, and the NAL units of a packet (ISO/IEC 14496-15)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from coordinator.media.cut.bits import Bits

SLICE, IDR, SEI, SPS, PPS = 1, 5, 6, 7, 8
_PARTITIONS = (2, 3, 4)
_HIGH = (100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135)
_START = b"\0\0\1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameters:
    """What a sequence parameter set says that has to be the same for two streams to follow each other."""

    number: int
    profile: int
    level: int
    chroma: int
    depth: int
    size: tuple[int, int]
    """In macroblocks."""
    crop: tuple[int, ...]
    progressive: bool
    """All pictures are whole frames."""

    def fits(self, other: Parameters) -> bool:
        """One decoder setup does for both."""
        return replace(self, number=0) == replace(other, number=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """An `avcC` record."""

    head: bytes
    """Version, profile, compatibility, level, and how many bytes a NAL unit's length takes."""
    sequences: tuple[bytes, ...]
    """SPS."""
    pictures: tuple[bytes, ...]
    """PPS."""
    tail: bytes
    """What high profiles have behind them."""

    @classmethod
    def parse(cls, data: bytes) -> Configuration:
        """Raises ValueError for anything else, as streams with start codes have."""
        if len(data) < 7 or data[0] != 1:
            raise ValueError("not an avcC record")
        sequences, at = _sets(data, 6, data[5] & 31)
        if at >= len(data):
            raise ValueError("an avcC record ends too early")
        pictures, at = _sets(data, at + 1, data[at])
        if not sequences or not pictures:
            raise ValueError("an avcC record without parameter sets")
        return cls(head=data[:5], sequences=sequences, pictures=pictures, tail=data[at:])

    @property
    def length_size(self) -> int:
        """Bytes of a NAL unit's length."""
        return (self.head[4] & 3) + 1

    def free_number(self) -> int:
        """One that no parameter set has. Raises ValueError when all are taken."""
        taken = {sequence_number(nal) for nal in self.sequences} | {picture_number(nal) for nal in self.pictures}
        free = [number for number in range(31, 0, -1) if number not in taken]  # files begin to count at 0
        if not free:
            raise ValueError("every number of a parameter set is taken")
        return free[0]

    def with_sets(self, sequences: Sequence[bytes], pictures: Sequence[bytes]) -> bytes:
        """The record of a stream that has these parameter sets, too."""
        return b"".join(
            (
                self.head,
                bytes([0xE0 | len(self.sequences) + len(sequences)]),
                *map(_counted, (*self.sequences, *sequences)),
                bytes([len(self.pictures) + len(pictures)]),
                *map(_counted, (*self.pictures, *pictures)),
                self.tail,
            )
        )


def _sets(data: bytes, at: int, count: int) -> tuple[tuple[bytes, ...], int]:
    found = []
    for _ in range(count):
        length = int.from_bytes(data[at : at + 2], "big")
        nal = data[at + 2 : at + 2 + length]
        if not nal or len(nal) < length:
            raise ValueError("an avcC record ends too early")
        found.append(nal)
        at += 2 + length
    return tuple(found), at


def _counted(nal: bytes) -> bytes:
    return len(nal).to_bytes(2, "big") + nal


def units(data: memoryview, length_size: int) -> Iterator[memoryview]:
    """The NAL units of a packet, with their headers. Raises ValueError when their lengths make no sense."""
    at, end = 0, len(data)
    while at < end:
        start = at + length_size
        at = start + int.from_bytes(data[at:start], "big")
        if at > end or at == start:
            raise ValueError("a packet's NAL units have senseless lengths")
        yield data[start:at]


def split(stream: bytes) -> list[bytes]:
    """The NAL units of a stream with start codes, as encoders write it."""
    return [nal for part in stream.split(_START)[1:] if (nal := part.rstrip(b"\0"))]


def with_lengths(nals: Sequence[bytes], length_size: int) -> bytes:
    """A packet of these NAL units."""
    return b"".join(len(nal).to_bytes(length_size, "big") + nal for nal in nals)


def kind(nal: bytes | memoryview) -> int:
    """`nal_unit_type`."""
    return nal[0] & 31


def is_picture(nal: bytes | memoryview) -> bool:
    """It holds a part of a picture."""
    return kind(nal) in (SLICE, IDR, *_PARTITIONS)


def is_reference(nal: bytes | memoryview) -> bool:
    """Other pictures may need this one."""
    return nal[0] & 0x60 != 0


def picture_number(nal: bytes) -> int:
    """Of a picture parameter set."""
    return Bits(nal[1:]).unsigned()


def sequence_number(nal: bytes) -> int:
    """Of a sequence parameter set."""
    return parameters(nal).number


def parameters(nal: bytes) -> Parameters:
    """What a sequence parameter set says (ITU-T H.264, 7.3.2.1.1). Raises ValueError."""
    bits = Bits(nal[1:])
    profile, _, level = bits.number(8), bits.number(8), bits.number(8)
    number = bits.unsigned()
    chroma, depth = 1, 8
    if profile in _HIGH:
        chroma, depth = _colour(bits)
    bits.unsigned()  # log2_max_frame_num
    _skip_order(bits)
    bits.unsigned()  # max_num_ref_frames
    bits.flag()
    width, height = bits.unsigned() + 1, bits.unsigned() + 1
    progressive = bits.flag()
    if not progressive:
        bits.flag()
    bits.flag()  # direct_8x8_inference
    crop = tuple(bits.unsigned() for _ in range(4)) if bits.flag() else (0, 0, 0, 0)
    return Parameters(
        number=number,
        profile=profile,
        level=level,
        chroma=chroma,
        depth=depth,
        size=(width, height),
        crop=crop,
        progressive=progressive,
    )


def _colour(bits: Bits) -> tuple[int, int]:
    chroma = bits.unsigned()
    if chroma == 3:
        bits.flag()
    depth = bits.unsigned() + 8
    bits.unsigned()
    bits.flag()
    if bits.flag():
        for number in range(8 if chroma != 3 else 12):
            if bits.flag():
                _skip_scaling(bits, 16 if number < 6 else 64)
    return chroma, depth


def _skip_scaling(bits: Bits, size: int) -> None:
    last = following = 8
    for _ in range(size):
        if following:
            following = (last + bits.signed()) % 256
        last = following or last


def _skip_order(bits: Bits) -> None:
    """How the order of pictures is told."""
    order = bits.unsigned()
    if order == 0:
        bits.unsigned()
    elif order == 1:
        bits.flag()
        bits.signed()
        bits.signed()
        for _ in range(bits.unsigned()):
            bits.signed()
