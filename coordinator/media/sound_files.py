"""Files of sound alone, told by their first bytes: people send them, and nothing that opens films opens them."""

from __future__ import annotations

import re
from pathlib import Path

_MAGIC = (b"ID3", b"fLaC", b"OggS", b"ADIF", b"#!AMR", b"MAC ", b"wvpk")
_RIFF = (b"RIFF", b"RF64")
_FRAME = re.compile(rb"\xff[\xe2\xe3\xf0-\xf3\xf8-\xfb]", re.DOTALL)
"""MPEG's layers and AAC without a container: a sync, then a version and a layer that exist."""


def is_sound_alone(path: Path) -> bool:
    """Whether the file is MP3, WAV, FLAC, Ogg or the like; False for one that cannot be read."""
    try:
        with path.open("rb") as file:
            head = file.read(12)
    except OSError:
        return False
    if head[:4] in _RIFF:
        return head[8:12] == b"WAVE"
    return head.startswith(_MAGIC) or _FRAME.match(head) is not None
