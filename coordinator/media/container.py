"""Which container the result gets: MP4, unless a track that is copied does not fit into it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import cache

import av
from av.audio.stream import AudioStream
from av.stream import Stream

_USUAL_LAYOUTS = {1: "mono", 2: "stereo", 3: "2.1", 4: "4.0", 5: "5.0", 6: "5.1", 7: "6.1", 8: "7.1"}
"""What FFmpeg takes so many channels for when a file does not say where they belong."""


def choose_container(tracks: Sequence[Stream]) -> str:
    """`mp4`, or `matroska` when that can hold a track that MP4 cannot."""
    lost_in_mp4 = [track for track in tracks if not fits(track, "mp4")]
    return "matroska" if any(fits(track, "matroska") for track in lost_in_mp4) else "mp4"


def fits(track: Stream, container: str) -> bool:
    """Whether packets of this track can be written to this container as they are."""
    if track.codec_context is None or track.codec_context.codec.name not in _codecs(container):
        return False
    return container != "mp4" or assumed_layout(track) != ""


def assumed_layout(track: Stream) -> str | None:
    """The channel layout of a sound track that does not name one, as AVI does not; MP4 wants it for PCM.

    None when the track names its own, or is no sound; "" when there is no usual one for so many channels.
    """
    if not isinstance(track, AudioStream) or track.codec_context is None:
        return None
    layout = track.codec_context.layout
    named = layout.nb_channels == 0 or not layout.name.endswith(" channels")
    return None if named else _USUAL_LAYOUTS.get(layout.nb_channels, "")


@cache
def _codecs(container: str) -> frozenset[str]:
    with av.open(os.devnull, "w", format=container) as output:  # nothing is written before a header is
        return frozenset(output.supported_codecs)
