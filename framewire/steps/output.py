"""How a result may be written: which codecs go into which containers, and what its file is called.

No execution. The gateway refuses with it before anything is uploaded, the command line offers with it.
"""

from __future__ import annotations

from collections.abc import Mapping

from framewire.errors import StepError, Violation
from framewire.v1.job_pb2 import (
    CONTAINER_MKV,
    CONTAINER_MOV,
    CONTAINER_MP4,
    CONTAINER_WEBM,
    VIDEO_CODEC_AV1,
    VIDEO_CODEC_H264,
    VIDEO_CODEC_HEVC,
    VIDEO_CODEC_UNSPECIFIED,
    Container,
    OutputSettings,
    VideoCodec,
)

CODECS: Mapping[str, VideoCodec.ValueType] = {
    "h264": VIDEO_CODEC_H264,
    "hevc": VIDEO_CODEC_HEVC,
    "av1": VIDEO_CODEC_AV1,
}
"""By the names people write."""
CONTAINERS: Mapping[str, Container.ValueType] = {
    "mp4": CONTAINER_MP4,
    "mov": CONTAINER_MOV,
    "mkv": CONTAINER_MKV,
    "webm": CONTAINER_WEBM,
}
"""By the names people write, which are the endings of their files."""
PRESETS = ("ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow")
"""From the fastest to the best for its size; every encoder has something for each."""


def codec_of(output: OutputSettings) -> str:
    """The codec's name: what was asked for, else H.264, and in WebM AV1."""
    if output.codec == VIDEO_CODEC_UNSPECIFIED:
        return "av1" if output.container == CONTAINER_WEBM else "h264"
    return next(name for name, codec in CODECS.items() if codec == output.codec)


def container_of(output: OutputSettings) -> str:
    """The container's name; empty when none was asked for."""
    return next((name for name, container in CONTAINERS.items() if container == output.container), "")


def check_output(output: OutputSettings) -> None:
    """Raise StepError (STEP_INVALID) for settings that no file can satisfy.

    What depends on the input, such as sound that WebM does not take, the worker checks when it has seen it.
    """
    if output.container == CONTAINER_WEBM and codec_of(output) != "av1":
        message = f"WebM takes AV1, not {codec_of(output)}; leave the codec out, or take the container mkv"
        raise StepError(message, violations=[Violation("output.codec", message)])


def ending_of(output: OutputSettings | None) -> str:
    """The ending of the result's file name: `.mp4` unless another container was asked for."""
    return f".{(container_of(output) if output else '') or 'mp4'}"
