"""HLS media playlists (RFC 8216) of fragmented MP4 files, each of which carries a header of its own."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from framewire.v1.job_pb2 import Segment

CONTENT_TYPE = "application/vnd.apple.mpegurl"
TARGET_SECONDS = 5
"""What a segment lasts at most, as a rule. It must not change while a playlist grows, which begins with short ones."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A segment and where a player gets it."""

    segment: Segment
    url: str


def media_playlist(parts: Sequence[Part], *, ended: bool) -> str:
    """The playlist of these segments in order, at least one; a player comes back for more unless `ended`.

    A header is named again only where it is another one than that before: equal headers decode alike.
    """
    lines = [
        "#EXTM3U",
        "#EXT-X-VERSION:7",
        f"#EXT-X-TARGETDURATION:{_target(parts)}",
        "#EXT-X-MEDIA-SEQUENCE:0",
        "#EXT-X-PLAYLIST-TYPE:EVENT",
        "#EXT-X-INDEPENDENT-SEGMENTS",
    ]
    header = None
    for part in parts:
        if part.segment.header_sha256 != header:
            header = part.segment.header_sha256
            lines.append(f'#EXT-X-MAP:URI="{part.url}",BYTERANGE="{part.segment.header_bytes}@0"')
        lines += _media(part)
    if ended:
        lines.append("#EXT-X-ENDLIST")
    return "\n".join(lines) + "\n"


def _media(part: Part) -> list[str]:
    header = part.segment.header_bytes
    return [
        f"#EXTINF:{part.segment.duration:.6f},",
        f"#EXT-X-BYTERANGE:{part.segment.size_bytes - header}@{header}",
        part.url,
    ]


def _target(parts: Sequence[Part]) -> int:
    return max(TARGET_SECONDS, *(math.floor(part.segment.duration + 0.5) for part in parts))
