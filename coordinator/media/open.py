"""Opening strangers' files: few demuxers, local files only, chosen by content.

Playlists, `concat` scripts, picture sequences and devices are demuxers like any other to
FFmpeg; they read other files and fetch URLs. Only those in `whitelist` can be chosen, and only
the `file` protocol exists while they read. A container that names data in other files is read as far as
its own bytes go.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import av
from av.container import InputContainer
from av.stream import Disposition, Stream
from av.video.stream import VideoStream

from coordinator.media.errors import CONTAINERS, reading, truncated, unsupported_codec
from coordinator.media.limits import MediaLimits
from coordinator.media.sound_files import is_sound_alone
from coordinator.media.truncation import is_cut_short
from coordinator.media.whitelist import DECODERS, DEMUXERS, PROTOCOLS, VIDEO_DECODERS
from framewire.errors import ErrorCode, MediaError

_OPTIONS = {
    "format_whitelist": ",".join(DEMUXERS),
    "protocol_whitelist": ",".join(PROTOCOLS),
    "codec_whitelist": ",".join(sorted(DECODERS)),
    "enable_drefs": "0",  # of MOV: pictures that lie in another file
    "max_streams": "256",
}
_BRIEF = {"probesize": "32"}  # bytes that are read to find out what the header does not say
_STILL_BRANDS = {"avif", "avis", "heic", "heix", "heim", "heis", "hevc", "mif1", "msf1"}


def open_input(path: Path, limits: MediaLimits, *, known: bool = False) -> InputContainer:
    """Open a media file. `known`: of what its tracks hold no more is wanted than the header says, which is faster.

    Raises MediaError: MEDIA_UNREADABLE for anything but the allowed containers, MEDIA_NO_VIDEO for a file of sound
    alone, MEDIA_TRUNCATED for one whose index is missing at its end, MEDIA_TOO_LARGE for one that promises too much.
    """
    try:
        with reading("open the file"):
            container = _open(path, limits, _BRIEF if known else {})
    except MediaError as error:
        raise truncated(0) if error.code == ErrorCode.MEDIA_UNREADABLE and is_cut_short(path) else error from error
    try:
        _check(container, limits)
    except BaseException:
        container.close()
        raise
    return container


def _open(path: Path, limits: MediaLimits, more: Mapping[str, str]) -> InputContainer:
    try:
        return av.open(
            f"file:{path.absolute()}",  # with the protocol spelled out, no name can be taken for another one
            container_options={**_OPTIONS, **more},
            metadata_errors="replace",
            timeout=limits.io_timeout,
        )
    except av.error.ArgumentError as error:  # FFmpeg's answer when content looks like a container that is not listed
        if is_sound_alone(path):
            raise MediaError(
                "the file holds sound alone; put it into a film, with one picture for all of it",
                code=ErrorCode.MEDIA_NO_VIDEO,
            ) from error
        raise MediaError(f"the file is not {CONTAINERS}; convert it to one of them") from error


def _check(container: InputContainer, limits: MediaLimits) -> None:
    with reading("read the header"):
        if container.metadata.get("major_brand", "").strip() in _STILL_BRANDS:
            raise MediaError(f"the file is a picture, not a video; send {CONTAINERS}")
        chapters = container.chapters()
        tagged = [
            container.metadata,
            *(track.metadata for track in container.streams),
            *(c["metadata"] for c in chapters),
        ]
        limits.check_promises(
            tracks=len(container.streams),
            chapters=len(chapters),
            seconds=(container.duration or 0) / av.time_base,
            tags=(text for tags in tagged for pair in tags.items() for text in pair),
        )


def main_video(container: InputContainer, limits: MediaLimits) -> VideoStream:
    """The video track to process. Raises MediaError: MEDIA_NO_VIDEO, MEDIA_UNSUPPORTED_CODEC, MEDIA_TOO_LARGE."""
    tracks = [stream for stream in container.streams.video if not is_cover(stream)]
    if not tracks:
        raise MediaError("the file has no video track; send one that has", code=ErrorCode.MEDIA_NO_VIDEO)
    stream = next((track for track in tracks if track.disposition & Disposition.default), tracks[0])
    if stream.codec_context is None:
        raise unsupported_codec("")
    if stream.codec_context.codec.name not in VIDEO_DECODERS:
        raise unsupported_codec(stream.codec_context.codec.canonical_name)
    limits.check_input(stream.codec_context.width, stream.codec_context.height)
    # the picture may say another size than the container, and a small file can hold a huge one
    stream.codec_context.options = {"max_pixels": str(limits.max_input_pixels)}
    return stream


def copied_tracks(container: InputContainer) -> list[Stream]:
    """The tracks that go to the result as they are: sound and subtitles, in the order of the file."""
    return [stream for stream in container.streams if stream.type in ("audio", "subtitle")]


def is_cover(stream: Stream) -> bool:
    """Whether a video track is but a picture of the file: a cover, or small pictures to choose a place by."""
    return bool(stream.disposition & (Disposition.attached_pic | Disposition.timed_thumbnails))
