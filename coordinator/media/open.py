"""Opening strangers' files: few demuxers, local files only, chosen by content.

Playlists, `concat` scripts, picture sequences and devices are demuxers like any other to
FFmpeg; they read other files and fetch URLs. Only those named here can be chosen, and only
the `file` protocol exists while they read.
"""

from __future__ import annotations

from pathlib import Path

import av
from av.container import InputContainer
from av.stream import Disposition, Stream
from av.video.stream import VideoStream

from coordinator.media.errors import CONTAINERS, reading, unsupported_codec
from coordinator.media.limits import MediaLimits
from framewire.errors import ErrorCode, MediaError

DEMUXERS = ("mov", "matroska", "webm", "avi")
_STILL_BRANDS = {"avif", "avis", "heic", "heix", "heim", "heis", "hevc", "mif1", "msf1"}


def open_input(path: Path, limits: MediaLimits) -> InputContainer:
    """Open a media file. Raises MediaError (MEDIA_UNREADABLE) for anything but the allowed containers."""
    with reading("open the file"):
        container = _open(path, limits)
        if container.metadata.get("major_brand", "").strip() in _STILL_BRANDS:
            container.close()
            raise MediaError(f"the file is a picture, not a video; send {CONTAINERS}")
        return container


def _open(path: Path, limits: MediaLimits) -> InputContainer:
    try:
        return av.open(
            f"file:{path.absolute()}",  # with the protocol spelled out, no name can be taken for another one
            container_options={"format_whitelist": ",".join(DEMUXERS), "protocol_whitelist": "file"},
            metadata_errors="replace",
            timeout=limits.io_timeout,
        )
    except av.error.ArgumentError as error:  # FFmpeg's answer when content looks like a container that is not listed
        raise MediaError(f"the file is not {CONTAINERS}; convert it to one of them") from error


def main_video(container: InputContainer, limits: MediaLimits) -> VideoStream:
    """The video track to process. Raises MediaError: MEDIA_NO_VIDEO, MEDIA_UNSUPPORTED_CODEC, MEDIA_TOO_LARGE."""
    tracks = [stream for stream in container.streams.video if not _is_cover(stream)]
    if not tracks:
        raise MediaError("the file has no video track; send one that has", code=ErrorCode.MEDIA_NO_VIDEO)
    stream = next((track for track in tracks if track.disposition & Disposition.default), tracks[0])
    if stream.codec_context is None:
        raise unsupported_codec("")
    limits.check_input(stream.codec_context.width, stream.codec_context.height)
    # the picture may say another size than the container, and a small file can hold a huge one
    stream.codec_context.options = {"max_pixels": str(limits.max_input_pixels)}
    return stream


def copied_tracks(container: InputContainer) -> list[Stream]:
    """The tracks that go to the result as they are: sound and subtitles, in the order of the file."""
    return [stream for stream in container.streams if stream.type in ("audio", "subtitle")]


def _is_cover(stream: VideoStream) -> bool:
    return bool(stream.disposition & (Disposition.attached_pic | Disposition.timed_thumbnails))
