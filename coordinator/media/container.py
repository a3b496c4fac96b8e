"""Which container the result gets, and which tracks fit into one."""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Sequence
from functools import cache

import av
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.stream import Stream

FORMATS = {"mp4": "mp4", "mov": "mov", "mkv": "matroska", "webm": "webm"}
"""FFmpeg's names, by those that people write."""
MP4_LIKE = ("mp4", "mov")
_BY_ITSELF = ("mp4", "matroska", "mov")
"""What a result is written to when nothing was asked for, the first that holds most."""
_COVERS = {"mjpeg", "png", "bmp"}
"""Pictures that MP4 takes as a cover."""
_USUAL_LAYOUTS = {1: "mono", 2: "stereo", 3: "2.1", 4: "4.0", 5: "5.0", 6: "5.1", 7: "6.1", 8: "7.1"}
"""What FFmpeg takes so many channels for when a file does not say where they belong."""


def choose_container(tracks: Sequence[Stream], wanted: str = "") -> str:
    """FFmpeg's name of the one that was asked for; else `mp4`, or `matroska` or `mov` when that holds more of them.

    Sound counts before all else, because of texts what is said can mostly be kept in another form.
    """
    if wanted:
        return FORMATS[wanted]
    sounds = [track for track in tracks if track.type == "audio"]
    return max(_BY_ITSELF, key=lambda container: (_held(sounds, container), _held(tracks, container)))


def _held(tracks: Sequence[Stream], container: str) -> int:
    return sum(fits(track, container) for track in tracks)


def fits(track: Stream, container: str) -> bool:
    """Whether packets of this track can be written to this container as they are."""
    if track.codec_context is None or track.codec_context.codec.name not in _codecs(container):
        return False
    if container in MP4_LIKE and assumed_layout(track) == "":
        return False
    return _begins(track, container)


def _begins(track: Stream, container: str) -> bool:
    """Whether a file with this track can be begun: muxers refuse some of what they list, as MP4 does TrueHD."""
    output = av.open(io.BytesIO(), "w", format=container)
    try:
        add_copy(output, track)
        output.start_encoding()
    except (ValueError, av.FFmpegError):
        return False
    finally:
        with contextlib.suppress(ValueError, av.FFmpegError):  # a file without packets has no end
            output.close()
    return True


def add_copy(output: OutputContainer, track: Stream) -> Stream:
    """A track of the output for this one's packets. Raises ValueError or av.FFmpegError where it takes none such."""
    stream = output.add_stream_from_template(track, opaque=True)
    if isinstance(stream, AudioStream) and (layout := assumed_layout(track)):
        stream.codec_context.layout = layout
    return stream


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
