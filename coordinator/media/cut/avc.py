"""H.264 as MP4 and Matroska carry it: the configuration record (ISO/IEC 14496-15) and what NAL units say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from coordinator.media.cut.bits import Bits
from coordinator.media.cut.nal import Parameters, counted, read_counted

IDR, SPS, PPS = 5, 7, 8
_PICTURES = (1, 2, 3, 4, IDR)
_LAYERS = (14, 15, 20, 21, *range(24, 32))
_HIGH = (100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135)


@dataclass(frozen=True, slots=True, kw_only=True)
class AvcConfiguration:
    """An `avcC` record."""

    head: bytes
    """Version, profile, compatibility, level, and how many bytes a NAL unit's length takes."""
    sequences: tuple[bytes, ...]
    """SPS."""
    pictures: tuple[bytes, ...]
    """PPS."""
    tail: bytes
    """What high profiles have behind them."""

    codec = "h264"

    @classmethod
    def parse(cls, data: bytes) -> AvcConfiguration:
        """Raises ValueError for anything else, as streams with start codes have."""
        if len(data) < 7 or data[0] != 1:
            raise ValueError("not an avcC record")
        sequences, at = read_counted(data, 6, data[5] & 31)
        if at >= len(data):
            raise ValueError("an avcC record ends too early")
        pictures, at = read_counted(data, at + 1, data[at])
        if not sequences or not pictures:
            raise ValueError("an avcC record without parameter sets")
        return cls(head=data[:5], sequences=sequences, pictures=pictures, tail=data[at:])

    @property
    def length_size(self) -> int:
        """Bytes of a NAL unit's length."""
        return (self.head[4] & 3) + 1

    @property
    def sets(self) -> frozenset[bytes]:
        """All parameter sets."""
        return frozenset({*self.sequences, *self.pictures})

    @property
    def parameters(self) -> Sequence[Parameters]:
        """Of each SPS. Raises ValueError."""
        return [parameters(nal) for nal in self.sequences]

    def free_number(self) -> int:
        """One that no parameter set has. Raises ValueError when all are taken."""
        taken = {parameters(nal).number for nal in self.sequences} | {picture_number(nal) for nal in self.pictures}
        free = [number for number in range(31, 0, -1) if number not in taken]  # files begin to count at 0
        if not free:
            raise ValueError("every number of a parameter set is taken")
        return free[0]

    def with_sets(self, sets: Sequence[bytes]) -> bytes:
        """The record of a stream that has these parameter sets, too."""
        sequences = (*self.sequences, *(nal for nal in sets if _kind(nal) == SPS))
        pictures = (*self.pictures, *(nal for nal in sets if _kind(nal) == PPS))
        return b"".join(
            (
                self.head,
                bytes([0xE0 | len(sequences)]),
                *map(counted, sequences),
                bytes([len(pictures)]),
                *map(counted, pictures),
                self.tail,
            )
        )

    def is_set(self, nal: bytes | memoryview) -> bool:
        """It is a parameter set."""
        return _kind(nal) in (SPS, PPS)

    def is_picture(self, nal: bytes | memoryview) -> bool:
        """It holds a part of a picture."""
        return _kind(nal) in _PICTURES

    def is_start(self, nal: bytes | memoryview) -> bool:
        """It is of an IDR picture."""
        return _kind(nal) == IDR

    def is_reference(self, nal: bytes | memoryview) -> bool:
        """Other pictures may need this one."""
        return nal[0] & 0x60 != 0

    def is_layer(self, nal: bytes | memoryview) -> bool:
        """It is of another view or layer, or of what the standard does not name."""
        return _kind(nal) in _LAYERS

    def parameters_of(self, nal: bytes) -> Parameters | None:
        """What an SPS says; None for any other NAL unit. Raises ValueError."""
        return parameters(nal) if _kind(nal) == SPS else None

    def numbered(self, nal: bytes, number: int) -> bytes:
        """The same: x264 takes a number."""
        return nal


def _kind(nal: bytes | memoryview) -> int:
    """`nal_unit_type`."""
    return nal[0] & 31


def picture_number(nal: bytes) -> int:
    """Of a PPS."""
    return Bits(nal[1:]).unsigned()


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
