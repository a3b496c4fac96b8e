"""What is inside a file of any kind that may be uploaded: films, pictures, sound."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import av
from av.container import InputContainer

from coordinator.media.errors import reading
from coordinator.media.limits import MediaLimits
from coordinator.media.probe import codec_name, probe
from framewire.errors import ErrorCode, MediaError
from framewire.v1.asset_pb2 import AudioInfo, MediaInfo, VideoInfo

_FILMS = frozenset({"mp4", "mov", "matroska", "avi"})
_SOUND: Mapping[str, str] = {"m4a": "mov", "mp4": "mov", "mov": "mov", "matroska": "matroska", "avi": "avi"} | {
    kind: kind for kind in ("wav", "mp3", "flac")
}
_PICTURES: Mapping[str, tuple[str, str]] = {
    "png": ("png_pipe", "png"),
    "jpeg": ("jpeg_pipe", "mjpeg"),
    "webp": ("webp_pipe", "webp"),
}
"""Kind -> its demuxer, and the one decoder it may ask for."""


def survey(path: Path, kind: str, limits: MediaLimits | None = None) -> MediaInfo:
    """Facts about a file of this kind, which its first bytes have told. Decodes one picture at most.

    Raises MediaError for a file nothing can be done with.
    """
    limits = limits or MediaLimits()
    if kind in _PICTURES:
        return _picture(path, kind, limits)
    if kind in _FILMS:
        try:
            return probe(path, limits)
        except MediaError as error:
            if error.code != ErrorCode.MEDIA_NO_VIDEO:
                raise
    if kind not in _SOUND:
        raise MediaError(f"nobody knows how to look into {kind!r}")
    return _sound(path, kind, limits)


def _open(path: Path, form: str, limits: MediaLimits) -> InputContainer:
    options = {"format_whitelist": form, "protocol_whitelist": "file", "enable_drefs": "0", "max_streams": "64"}
    return av.open(
        f"file:{path.absolute()}",
        format=form,
        container_options=options,
        metadata_errors="replace",
        timeout=limits.io_timeout,
    )


def _sound(path: Path, kind: str, limits: MediaLimits) -> MediaInfo:
    with reading("open the file"), _open(path, _SOUND[kind], limits) as container:
        seconds = (container.duration or 0) / av.time_base
        limits.check_duration(seconds)
        tracks = [
            AudioInfo(
                codec=codec_name(stream),
                sample_rate=stream.codec_context.sample_rate if stream.codec_context else 0,
                channels=stream.codec_context.layout.nb_channels if stream.codec_context else 0,
                duration=max(0.0, float(stream.duration * stream.time_base))
                if stream.duration and stream.time_base
                else seconds,
            )
            for stream in container.streams.audio
        ]
        if not tracks:
            raise MediaError("the file has neither pictures nor sound; send one that has")
        return MediaInfo(container=container.format.name, duration=max(0.0, seconds), audio=tracks)


def _picture(path: Path, kind: str, limits: MediaLimits) -> MediaInfo:
    form, decoder = _PICTURES[kind]
    with reading("open the picture"), _open(path, form, limits) as container:
        stream = container.streams.video[0]
        if stream.codec_context is None or stream.codec_context.codec.name != decoder:
            raise MediaError("the picture is not what its first bytes say; export it again")
        stream.codec_context.options = {"max_pixels": str(limits.max_input_pixels)}
        stream.codec_context.thread_count = 1
        frame = next(container.decode(stream), None)
        if frame is None:
            raise MediaError("the picture cannot be decoded; export it again")
        limits.check_input(frame.width, frame.height)
        video = VideoInfo(
            codec=stream.codec_context.codec.canonical_name,
            width=frame.width,
            height=frame.height,
            frames=1,
            pixel_format=frame.format.name,
        )
        return MediaInfo(container=kind, video=video)
