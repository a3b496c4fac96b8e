"""HLS media playlists (RFC 8216) of fragmented MP4 files, each of which carries a header of its own."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from framewire.v1.job_pb2 import Segment

CONTENT_TYPE = "application/vnd.apple.mpegurl"
TARGET_SECONDS = 5
"""What a segment lasts at most, as a rule."""
_LEAST_FRAMES = 8
"""Frames of the shortest segment: of a slow film they last longer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A segment and where a player gets it."""

    segment: Segment
    url: str


def target_seconds(fps: float) -> int:
    """What a playlist says from its first segment to its last of how long segments are, for a film of this rate.

    It must not change while the playlist grows (RFC 8216, 6.2.1), so it is known before there is a segment. 0 frames a
    second: the rate is not known. A single frame that is shown longer makes a segment longer than the playlist says.
    """
    return max(TARGET_SECONDS, math.ceil(_LEAST_FRAMES / fps) + 1 if fps > 0 else 0)


def media_playlist(parts: Sequence[Part], *, ended: bool, target: int = TARGET_SECONDS) -> str:
    """The playlist of these segments in order, at least one; a player comes back for more unless `ended`.

    `target`: see `target_seconds`. Only of a playlist that has ended the true length is told.

    A header is named again only where it is another one than that before: equal headers decode alike.
    """
    lines = [
        "#EXTM3U",
        "#EXT-X-VERSION:7",
        f"#EXT-X-TARGETDURATION:{max(target, _longest(parts)) if ended else target}",
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


def _longest(parts: Sequence[Part]) -> int:
    return max(math.floor(part.segment.duration + 0.5) for part in parts)
