"""Which container the result gets, and which tracks fit into one."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import cache

import av
from av.audio.stream import AudioStream
from av.stream import Stream

FORMATS = {"mp4": "mp4", "mov": "mov", "mkv": "matroska", "webm": "webm"}
"""FFmpeg's names, by those that people write."""
MP4_LIKE = ("mp4", "mov")
_COVERS = {"mjpeg", "png", "bmp"}
"""Pictures that MP4 takes as a cover."""
_USUAL_LAYOUTS = {1: "mono", 2: "stereo", 3: "2.1", 4: "4.0", 5: "5.0", 6: "5.1", 7: "6.1", 8: "7.1"}
"""What FFmpeg takes so many channels for when a file does not say where they belong."""


def choose_container(tracks: Sequence[Stream], wanted: str = "") -> str:
    """FFmpeg's name of the one that was asked for; else `mp4`, or `matroska` when only that can hold some track."""
    if wanted:
        return FORMATS[wanted]
    lost_in_mp4 = [track for track in tracks if not fits(track, "mp4")]
    return "matroska" if any(fits(track, "matroska") for track in lost_in_mp4) else "mp4"


def fits(track: Stream, container: str) -> bool:
    """Whether packets of this track can be written to this container as they are."""
    if track.codec_context is None or track.codec_context.codec.name not in _codecs(container):
        return False
    return container not in MP4_LIKE or assumed_layout(track) != ""


def takes_cover(track: Stream, container: str) -> bool:
    """Whether this picture can be the container's cover."""
    if track.codec_context is None:
        return False
    if container == "matroska":
        return True  # as an attached file
    return container in MP4_LIKE and track.codec_context.codec.canonical_name in _COVERS


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
