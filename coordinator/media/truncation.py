"""Whether a file that cannot be read was cut off: the outermost structure says how long it was to be."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import BinaryIO, Final

_MOST_BOXES: Final = 100_000
_MP4_BOXES: Final = {b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"styp", b"sidx", b"moof", b"pnot", b"uuid"}
_EBML: Final = b"\x1a\x45\xdf\xa3"
_SEGMENT: Final = b"\x18\x53\x80\x67"


def is_cut_short(path: Path) -> bool:
    """Whether bytes that the file's own header promises are missing at its end. False when that cannot be told."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            head = file.read(12)
            file.seek(0)
            if head[4:8] in _MP4_BOXES:
                return _boxes_end(file, size) > size
            if head[:4] == _EBML:
                return _segment_end(file) > size
            if head[:4] == b"RIFF":
                return 8 + int(struct.unpack("<I", head[4:8])[0]) > size
    except (OSError, struct.error):
        return False
    return False


def _boxes_end(file: BinaryIO, size: int) -> int:
    """Where the last box of an MP4 or MOV ends; past the end of the file too when the index is missing."""
    at, seen = 0, set()
    for _ in range(_MOST_BOXES):
        file.seek(at)
        head = file.read(16)
        if len(head) < 8:
            break
        length, kind = struct.unpack(">I4s", head[:8])
        if length == 1 and len(head) == 16:
            length = int.from_bytes(head[8:], "big")
        seen.add(kind)
        if length < 8:
            return size if length == 0 else 0
        at += length
    return at if b"moov" in seen else max(at, size + 1)


def _segment_end(file: BinaryIO) -> int:
    """Where a Matroska file's segment ends; 0 when it does not say."""
    head = file.read(4096)
    at = head.find(_SEGMENT)
    if at < 0 or at + 5 > len(head):
        return 0
    start = at + 4
    length = 9 - head[start].bit_length()
    if length > 8 or start + length > len(head):
        return 0
    value = int.from_bytes(head[start : start + length], "big") & ((1 << 7 * length) - 1)
    return 0 if value == (1 << 7 * length) - 1 else start + length + value
