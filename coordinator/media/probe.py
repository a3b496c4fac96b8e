"""What is inside a file: facts for people (MediaInfo) and facts for the pipeline (VideoFacts)."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
from av.audio.codeccontext import AudioCodecContext
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.sidedata.sidedata import Type
from av.stream import Stream
from av.video.format import VideoFormat
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from coordinator.media.colour import Colour
from coordinator.media.errors import reading, truncated
from coordinator.media.hdr import (
    ContentLight,
    MasteringDisplay,
    content_light,
    mastering_display,
    not_written,
    side_data,
)
from coordinator.media.limits import Budget, MediaLimits
from coordinator.media.open import main_video, open_input
from coordinator.media.timeline import Timeline
from coordinator.media.truncation import is_cut_short
from framewire.errors import MediaError
from framewire.v1.asset_pb2 import AudioInfo, MediaInfo, VideoInfo

_MATRIX = struct.Struct("=9i")
_ONE, _UNIT = 1 << 16, 1 << 30
_QUARTER_TURNS = {
    90: (0, -_ONE, 0, _ONE, 0, 0, 0, 0, _UNIT),
    180: (-_ONE, 0, 0, 0, -_ONE, 0, 0, 0, _UNIT),
    270: (0, _ONE, 0, -_ONE, 0, 0, 0, 0, _UNIT),
}  # by the counter-clockwise degrees that PyAV gives
_SECONDS = Fraction(1, av.time_base)


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoFacts:
    """The video track as its header and its first picture describe it."""

    width: int
    height: int
    time_base: Fraction
    """Unit of every pts and duration."""
    rate: Fraction | None
    """Average frames per second; None when unknown."""
    frames: int
    """Frames expected, declared or estimated; 0 when unknown."""
    promised: int
    """Frames the container declares, those its edit list hides included; 0 when it declares none."""
    first_pts: int
    by_decoding: bool
    """The container counts packets and does not say when their pictures are shown: AVI."""
    sample_aspect_ratio: Fraction | None
    display_matrix: tuple[int, ...] | None
    """Nine numbers a player turns and flips the picture by; None when there are none."""
    colour: Colour
    depth: int
    """Bits a sample."""
    sampling: str
    """Of colour: `4:2:0`, `4:2:2`, `4:4:4`, `RGB`; `4:0:0` for none."""
    alpha: bool
    """It has transparency."""
    interlaced: bool
    """The first picture is; others may be, too, and are looked at one by one."""
    mastering: MasteringDisplay | None
    """The screen it was graded on, when it says so."""
    light: ContentLight | None
    """How bright it gets, when it says so."""
    lost: tuple[str, ...]
    """What its first picture carries that is not written again, in words."""

    @property
    def deep(self) -> bool:
        """More than 8 bits a sample."""
        return self.depth > 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspection:
    """Everything known before the work starts."""

    media: MediaInfo
    video: VideoFacts


def inspect(path: Path, limits: MediaLimits | None = None) -> Inspection:
    """Open the file and decode its first picture.

    Raises MediaError: MEDIA_UNREADABLE, MEDIA_NO_VIDEO, MEDIA_UNSUPPORTED_CODEC or MEDIA_TOO_LARGE.
    """
    limits = limits or MediaLimits()
    with open_input(path, limits) as container, reading("decode the first picture"):
        stream = main_video(container, limits)
        frame = _first_picture(container, stream, path, limits)
        limits.check_input(frame.width, frame.height)
        facts = _video_facts(container, stream, frame)
        return Inspection(media=_media_info(container, stream, facts), video=facts)


def probe(path: Path, limits: MediaLimits | None = None) -> MediaInfo:
    """What `inspect` finds, for people."""
    return inspect(path, limits).media


def _first_picture(container: InputContainer, stream: VideoStream, path: Path, limits: MediaLimits) -> VideoFrame:
    stream.codec_context.thread_count = 1
    damage: Exception | None = None
    budget = Budget(limits)
    for packet in container.demux(stream):
        budget.packet(packet.size)
        try:
            frames = stream.decode(packet)
        except (av.error.InvalidDataError, av.error.EOFError) as error:
            damage = error
            continue
        if frames:
            return frames[0]
    if is_cut_short(path):
        raise truncated(0)
    if damage is not None:
        raise damage
    raise MediaError("the video track holds no picture that can be decoded; export the file again")


def _video_facts(container: InputContainer, stream: VideoStream, frame: VideoFrame) -> VideoFacts:
    rate = stream.average_rate or stream.guessed_rate
    rate = rate if rate and 0 < rate < 10_000 else None
    time_base, by_decoding = stream.time_base or Fraction(1, 90_000), container.format.name == "avi"
    return VideoFacts(
        width=frame.width,
        height=frame.height,
        time_base=time_base,
        rate=rate,
        frames=_expected_frames(stream, rate, _track_duration(container, stream)),
        promised=stream.frames,
        first_pts=Timeline(time_base, rate, by_decoding=by_decoding).told(frame.pts, frame.dts) or 0,
        by_decoding=by_decoding,
        sample_aspect_ratio=stream.sample_aspect_ratio or None,
        display_matrix=_display_matrix(frame),
        colour=Colour.of(frame, stream.codec_context.codec.canonical_name),
        depth=max(component.bits for component in frame.format.components),
        sampling=_sampling(frame.format),
        alpha=_has_alpha(stream, frame),
        interlaced=bool(frame.interlaced_frame),
        mastering=mastering_display(frame),
        light=content_light(frame),
        lost=not_written(frame),
    )


def _has_alpha(stream: VideoStream, frame: VideoFrame) -> bool:
    """Whether there is transparency, also where it lies beside the picture and is not decoded, as in VP8 and VP9."""
    beside = {key.lower(): value for key, value in stream.metadata.items()}.get("alpha_mode") == "1"
    return beside or any(component.is_alpha for component in frame.format.components)


def _sampling(form: VideoFormat) -> str:
    if form.is_rgb or form.has_palette:
        return "RGB"
    if len(form.components) < 3:  # luma, and perhaps transparency
        return "4:0:0"
    across, down = 4 // form.chroma_width(4), 4 // form.chroma_height(4)
    return f"4:{4 // across}:{4 // across if down == 1 else 0}"


def _expected_frames(stream: VideoStream, rate: Fraction | None, duration: float) -> int:
    if stream.frames > 0:
        return stream.frames
    return max(0, round(duration * float(rate))) if rate else 0


def _display_matrix(frame: VideoFrame) -> tuple[int, ...] | None:
    raw = side_data(frame, Type.DISPLAYMATRIX)
    if len(raw) >= _MATRIX.size:
        return _MATRIX.unpack(raw[: _MATRIX.size])
    return _QUARTER_TURNS.get(frame.rotation % 360)  # what is left when the side data cannot be listed


def rotation(matrix: tuple[int, ...] | None) -> int:
    """Clockwise degrees, to the nearest quarter turn, that a display matrix turns the picture by."""
    if matrix is None:
        return 0
    a, b = matrix[0], matrix[1]
    if abs(a) >= abs(b):
        return 0 if a >= 0 else 180
    return 90 if b > 0 else 270


def orientation(matrix: tuple[int, ...] | None) -> tuple[bool, int]:
    """How a display matrix has a picture shown: mirrored left to right first, then turned clockwise by quarters."""
    if matrix is None:
        return False, 0
    a, b, _, c, d = matrix[:5]
    mirrored = a * d - b * c < 0
    return mirrored, rotation((-a, -b, *matrix[2:]) if mirrored else matrix) // 90


def _media_info(container: InputContainer, stream: VideoStream, facts: VideoFacts) -> MediaInfo:
    track = _track_duration(container, stream)
    return MediaInfo(
        container=container.format.name,
        duration=float(container.duration * _SECONDS) if container.duration else track,
        video=VideoInfo(
            codec=stream.codec_context.codec.canonical_name,
            width=facts.width,
            height=facts.height,
            fps=float(facts.rate or 0),
            frames=facts.frames,
            pixel_format=stream.codec_context.pix_fmt or "",
            rotation=rotation(facts.display_matrix),
        ),
        audio=[_audio_info(container, audio) for audio in container.streams.audio],
    )


def _audio_info(container: InputContainer, stream: AudioStream) -> AudioInfo:
    context: AudioCodecContext | None = stream.codec_context  # None when this build has no decoder
    return AudioInfo(
        codec=codec_name(stream),
        sample_rate=context.sample_rate if context else 0,
        channels=context.layout.nb_channels if context else 0,
        duration=_track_duration(container, stream),
    )


def codec_name(stream: Stream) -> str:
    """The codec's name as FFmpeg spells it; `unknown` for one this build cannot decode."""
    return stream.codec_context.codec.canonical_name if stream.codec_context else "unknown"


def _track_duration(container: InputContainer, stream: Stream) -> float:
    if stream.duration and stream.time_base:
        return max(0.0, float(stream.duration * stream.time_base))
    return max(0.0, float(container.duration * _SECONDS)) if container.duration else 0.0
