"""H.265 as MP4 and Matroska carry it: the configuration record (ISO/IEC 14496-15) and what NAL units say.

x265 always gives its parameter sets number 0, which a film's have, too. So what it writes is numbered anew. A number
from 15 to 30 takes nine bits where 0 takes one: everything behind it moves by one byte, and no bit has to be shifted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from coordinator.media.cut.bits import Bits
from coordinator.media.cut.nal import Parameters, counted, escaped, read_counted, unescaped

VPS, SPS, PPS = 32, 33, 34
_IDR = (19, 20)
_RANDOM_ACCESS = range(16, 24)
_LAST_PICTURE = 31
_UNNAMED = 48
_LAST_SEQUENCE = 15
"""Largest number of a VPS and of an SPS; what is numbered anew gets it."""
_NUMBERS = range(15, 31)
_NUMBER_BITS = 9
_PROFILE_BITS = 96
"""Profile, tier and level of a stream without layers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HevcConfiguration:
    """An `hvcC` record."""

    head: bytes
    """All before the arrays of NAL units."""
    arrays: tuple[tuple[int, tuple[bytes, ...]], ...]
    """First byte of each, and its NAL units."""

    codec = "hevc"

    @classmethod
    def parse(cls, data: bytes) -> HevcConfiguration:
        """Raises ValueError for anything else, as streams with start codes have."""
        if len(data) < 23 or data[0] != 1:
            raise ValueError("not an hvcC record")
        arrays, at = [], 23
        for _ in range(data[22]):
            if at + 3 > len(data):
                raise ValueError("an hvcC record ends too early")
            first, count = data[at], int.from_bytes(data[at + 1 : at + 3], "big")
            nals, at = read_counted(data, at + 3, count)
            arrays.append((first, nals))
        found = cls(head=data[:22], arrays=tuple(arrays))
        if not {VPS, SPS, PPS} <= {_kind(nal) for nal in found.sets}:
            raise ValueError("an hvcC record without parameter sets")
        return found

    @property
    def length_size(self) -> int:
        """Bytes of a NAL unit's length."""
        return (self.head[21] & 3) + 1

    @property
    def sets(self) -> frozenset[bytes]:
        """All parameter sets."""
        return frozenset(nal for _, nals in self.arrays for nal in nals if self.is_set(nal))

    @property
    def parameters(self) -> Sequence[Parameters]:
        """Of each SPS. Raises ValueError."""
        return [found for nal in self.sets if (found := self.parameters_of(nal)) is not None]

    def free_number(self) -> int:
        """One that no PPS has. Raises ValueError when there is none, or the last VPS or SPS is taken."""
        taken = {Bits(nal[2:]).unsigned() for nal in self.sets if _kind(nal) == PPS}
        sequences = {one.number for one in self.parameters} | {nal[2] >> 4 for nal in self.sets if _kind(nal) == VPS}
        free = [number for number in _NUMBERS if number not in taken]
        if not free or _LAST_SEQUENCE in sequences:
            raise ValueError("every number of a parameter set is taken")
        return free[-1]

    def with_sets(self, sets: Sequence[bytes]) -> bytes:
        """The record of a stream that has these parameter sets, too."""
        told = [self.head, bytes([len(self.arrays)])]
        for first, nals in self.arrays:
            more = (*nals, *(nal for nal in sets if _kind(nal) == first & 63))
            told += [bytes([first]), len(more).to_bytes(2, "big"), *map(counted, more)]
        return b"".join(told)

    def is_set(self, nal: bytes | memoryview) -> bool:
        """It is a parameter set."""
        return _kind(nal) in (VPS, SPS, PPS)

    def is_picture(self, nal: bytes | memoryview) -> bool:
        """It holds a part of a picture."""
        return _kind(nal) <= _LAST_PICTURE

    def is_start(self, nal: bytes | memoryview) -> bool:
        """It is of an IDR picture."""
        return _kind(nal) in _IDR

    def is_reference(self, nal: bytes | memoryview) -> bool:
        """Always said: pictures of other layers may need those that their own layer does not."""
        return True

    def is_layer(self, nal: bytes | memoryview) -> bool:
        """It is of a layer above the first, or of what the standard does not name, as Dolby Vision's is."""
        return _kind(nal) >= _UNNAMED or bool((nal[0] & 1) << 5 | nal[1] >> 3)

    def parameters_of(self, nal: bytes) -> Parameters | None:
        """What an SPS says (ITU-T H.265, 7.3.2.2.1); None for any other NAL unit. Raises ValueError."""
        return _parameters(nal) if _kind(nal) == SPS else None

    def numbered(self, nal: bytes, number: int) -> bytes:
        """What x265 wrote, with this number for the PPS and the last one for VPS and SPS. Raises ValueError."""
        kind, plain = _kind(nal), unescaped(nal)
        if kind == VPS:
            return escaped(_with_sequence(plain))
        if kind == SPS:
            if plain[2] & 0x0E:
                raise ValueError("a stream with layers")
            return escaped(_widened(_with_sequence(plain), 16 + 8 + _PROFILE_BITS, _LAST_SEQUENCE))
        if kind == PPS:
            renumbered = _widened(plain, 16, number)
            return escaped(_widened(renumbered, 16 + _NUMBER_BITS, _LAST_SEQUENCE))
        if self.is_picture(nal):
            return escaped(_widened(plain, 16 + (2 if kind in _RANDOM_ACCESS else 1), number))
        return nal


def _kind(nal: bytes | memoryview) -> int:
    """`nal_unit_type`."""
    return nal[0] >> 1 & 63


def _with_sequence(plain: bytes) -> bytes:
    """With the last number where a VPS has its own and an SPS that of its VPS: the first four bits."""
    return plain[:2] + bytes([_LAST_SEQUENCE << 4 | plain[2] & 15]) + plain[3:]


def _widened(plain: bytes, bit: int, number: int) -> bytes:
    """With `number` instead of the 0 that stands, as one bit, at this place. Raises ValueError for any other."""
    byte, place = divmod(bit, 8)
    if not plain[byte] >> (7 - place) & 1:
        raise ValueError("not number 0")
    before = plain[byte] >> (8 - place)
    behind = plain[byte] & ((1 << (7 - place)) - 1)
    wide = (before << _NUMBER_BITS | number + 1) << (7 - place) | behind
    return plain[:byte] + wide.to_bytes(2, "big") + plain[byte + 1 :]


def _parameters(nal: bytes) -> Parameters:
    bits = Bits(nal[2:])
    bits.number(4)
    layers = bits.number(3)
    bits.flag()
    if layers:
        raise ValueError("a stream with layers")
    tier_and_profile = bits.number(8) & 63
    bits.number(32)
    progressive, interlaced = bits.flag(), bits.flag()
    bits.number(46)
    level = bits.number(8)
    number, chroma = bits.unsigned(), bits.unsigned()
    if chroma == 3:
        bits.flag()
    size = bits.unsigned(), bits.unsigned()
    crop = tuple(bits.unsigned() for _ in range(4)) if bits.flag() else (0, 0, 0, 0)
    return Parameters(
        number=number,
        profile=tier_and_profile,
        level=level,
        chroma=chroma,
        depth=bits.unsigned() + 8,
        size=size,
        crop=crop,
        progressive=progressive or not interlaced,
    )
