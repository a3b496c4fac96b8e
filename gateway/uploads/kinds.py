"""What a file is, by its first bytes. Names and types that clients give are not asked."""

from __future__ import annotations

import re

LOOKED_AT = 64
"""Bytes of a file that are enough to know it."""
_EBML = b"\x1a\x45\xdf\xa3"
_STILL_BRANDS = {b"avif", b"avis", b"heic", b"heix", b"heim", b"heis", b"hevc", b"mif1", b"msf1"}
_SOUND_BRANDS = {b"M4A ", b"M4B ", b"M4P "}
_QUICKTIME_ATOMS = {b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot"}
_RIFF = {b"AVI ": "avi", b"WAVE": "wav", b"WEBP": "webp"}
# sync, MPEG version and layer III that exist, a bit rate and a sample rate that exist
_MP3_FRAME = re.compile(rb"\xff[\xe2\xe3\xf2\xf3\xfa\xfb][\x10-\xeb]", re.DOTALL)

KINDS = frozenset({"mp4", "mov", "matroska", "avi", "png", "jpeg", "webp", "wav", "mp3", "flac", "m4a"})
"""Every kind there is. `matroska` is WebM too."""


def kind_of(head: bytes) -> str | None:
    """The kind of a file that begins with `head`; None when it is none of KINDS."""
    if head[4:8] == b"ftyp":
        return _of_brand(head[8:12])
    if head[:4] in {b"RIFF", b"RF64"}:
        return _RIFF.get(head[8:12])
    if head[4:8] in _QUICKTIME_ATOMS:
        return "mov"
    for magic, kind in _MAGIC.items():
        if head.startswith(magic):
            return kind
    return "mp3" if _MP3_FRAME.match(head) else None


_MAGIC = {
    _EBML: "matroska",
    b"\x89PNG\r\n\x1a\n": "png",
    b"\xff\xd8\xff": "jpeg",
    b"ID3": "mp3",
    b"fLaC": "flac",
}


def _of_brand(brand: bytes) -> str | None:
    if brand in _STILL_BRANDS:
        return None
    if brand in _SOUND_BRANDS:
        return "m4a"
    return "mov" if brand == b"qt  " else "mp4"
