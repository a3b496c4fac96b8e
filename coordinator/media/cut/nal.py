"""NAL units as MP4 and Matroska carry them, and what a cutter asks of a codec made of them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

_START = b"\0\0\1"
_FORBIDDEN = re.compile(b"\0\0(?=[\0-\3])")


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameters:
    """What a sequence parameter set says that has to be the same for two streams to follow each other."""

    number: int
    profile: int
    level: int
    chroma: int
    depth: int
    size: tuple[int, int]
    """In units of the codec's own."""
    crop: tuple[int, ...]
    progressive: bool
    """All pictures are whole frames."""

    def fits(self, other: Parameters) -> bool:
        """One decoder setup does for both."""
        return replace(self, number=0) == replace(other, number=0)


class Configuration(Protocol):
    """A track's description: its parameter sets, and how its packets are to be read."""

    @property
    def codec(self) -> str:
        """FFmpeg's name."""

    @property
    def length_size(self) -> int:
        """Bytes of a NAL unit's length."""

    @property
    def sets(self) -> frozenset[bytes]:
        """All parameter sets."""

    @property
    def parameters(self) -> Sequence[Parameters]:
        """Of each sequence parameter set; at least one."""

    def free_number(self) -> int:
        """One that no parameter set has. Raises ValueError when there is none."""

    def with_sets(self, sets: Sequence[bytes]) -> bytes:
        """The description of a stream that has these parameter sets, too."""

    def is_set(self, nal: bytes | memoryview) -> bool:
        """It is a parameter set."""

    def is_picture(self, nal: bytes | memoryview) -> bool:
        """It holds a part of a picture."""

    def is_start(self, nal: bytes | memoryview) -> bool:
        """Of a picture that decoding can begin at, and that nothing behind it looks back over (IDR)."""

    def is_reference(self, nal: bytes | memoryview) -> bool:
        """Other pictures may need this one."""

    def is_layer(self, nal: bytes | memoryview) -> bool:
        """It adds something to a picture that an encoder here would not write: another view, Dolby Vision."""

    def parameters_of(self, nal: bytes) -> Parameters | None:
        """What a sequence parameter set says; None for any other NAL unit. Raises ValueError."""

    def numbered(self, nal: bytes, number: int) -> bytes:
        """What an encoder that always takes number 0 wrote, with another number."""


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


def unescaped(nal: bytes) -> bytes:
    """Without the bytes that only keep start codes away."""
    return nal.replace(b"\0\0\3", b"\0\0")


def escaped(nal: bytes) -> bytes:
    """With them."""
    return _FORBIDDEN.sub(b"\0\0\3", nal)


def counted(nal: bytes) -> bytes:
    """With its length in two bytes, as descriptions hold it."""
    return len(nal).to_bytes(2, "big") + nal


def read_counted(data: bytes, at: int, count: int) -> tuple[tuple[bytes, ...], int]:
    """So many of them, and where they end. Raises ValueError."""
    found = []
    for _ in range(count):
        length = int.from_bytes(data[at : at + 2], "big")
        nal = data[at + 2 : at + 2 + length]
        if not nal or len(nal) < length:
            raise ValueError("a track's description ends too early")
        found.append(nal)
        at += 2 + length
    return tuple(found), at
