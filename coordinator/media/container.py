"""Which container the result gets: MP4, unless a track that is copied does not fit into it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import cache

import av
from av.stream import Stream


def choose_container(tracks: Sequence[Stream]) -> str:
    """`mp4`, or `matroska` when that can hold a track that MP4 cannot."""
    lost_in_mp4 = [track for track in tracks if not fits(track, "mp4")]
    return "matroska" if any(fits(track, "matroska") for track in lost_in_mp4) else "mp4"


def fits(track: Stream, container: str) -> bool:
    """Whether packets of this track can be written to this container as they are."""
    return track.codec_context is not None and track.codec_context.codec.name in _codecs(container)


@cache
def _codecs(container: str) -> frozenset[str]:
    with av.open(os.devnull, "w", format=container) as output:  # nothing is written before a header is
        return frozenset(output.supported_codecs)
