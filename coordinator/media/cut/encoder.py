"""The encoder of pictures beside a cut: what it writes goes into one track with copied packets.

Its parameter sets have a number of their own and stand in the track's description beside the film's, so a copied packet
means what it meant, and players that read sets from the description alone (`avc1`) find both.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

import av
from av.codec.context import Flags
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.frame import PictureType, VideoFrame
from av.video.stream import VideoStream

from coordinator.media.codecs import chroma_number
from coordinator.media.cut import avc
from coordinator.media.cut.obstacles import CannotCopy, Obstacle
from coordinator.media.probe import VideoFacts

CRF = 16
PRESET = "ultrafast"
_PROFILES = {66: "baseline", 77: "main", 100: "high", 110: "high10", 122: "high422"}
_FORMATS = frozenset({"yuv420p", "yuvj420p", "yuv422p", "yuvj422p", "yuv420p10le", "yuv422p10le"})
_WATERMARK = bytes.fromhex("dc45e9bde6d948b7962cd820d923eeef")
"""Begins what x264 writes of itself into the first packet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """How pictures like the film's are encoded. Plain values, for several threads."""

    width: int
    height: int
    pixel_format: str
    time_base: Fraction
    rate: Fraction
    sample_aspect_ratio: Fraction | None
    colours: tuple[tuple[str, int], ...]
    options: tuple[tuple[str, str], ...]
    length_size: int


@dataclass(frozen=True, slots=True)
class EncodedPacket:
    """A picture as it goes into the result."""

    data: bytes
    pts: int
    is_keyframe: bool


def choose_setup(video: VideoStream, facts: VideoFacts, configuration: avc.Configuration) -> Setup:
    """Raises CannotCopy (NO_ENCODER) when no encoder here writes this profile or pixel format."""
    context = video.codec_context
    like = avc.parameters(configuration.sequences[0])
    pixel_format = context.pix_fmt or ""
    if like.profile not in _PROFILES or pixel_format not in _FORMATS:
        raise CannotCopy(Obstacle.NO_ENCODER, f"profile {like.profile}, {pixel_format}")
    return Setup(
        width=context.width,
        height=context.height,
        pixel_format=pixel_format,
        time_base=facts.time_base,
        rate=facts.rate or Fraction(25),
        sample_aspect_ratio=facts.sample_aspect_ratio,
        colours=tuple(
            (name, int(getattr(context, name)))
            for name in ("color_range", "colorspace", "color_primaries", "color_trc")
        ),
        options=tuple(_options(like, facts, configuration.free_number()).items()),
        length_size=configuration.length_size,
    )


def _options(like: avc.Parameters, facts: VideoFacts, number: int) -> dict[str, str]:
    params = {
        "sps-id": str(number),
        "keyint": "infinite",
        "scenecut": "0",
        "bframes": "0",
        "force-cfr": "0",
        "cabac": "0" if like.profile == 66 else "1",
        "8x8dct": "1" if like.profile >= 100 else "0",  # without it x264 names its stream Main
        "chromaloc": chroma_number(facts.colour),
    }
    return {
        "crf": str(CRF),
        "preset": PRESET,
        "tune": "zerolatency",
        "profile": _PROFILES[like.profile],
        "level": f"{like.level // 10}.{like.level % 10}",
        "x264-params": ":".join(f"{name}={value}" for name, value in params.items() if value),
    }


def parameter_sets(setup: Setup, configuration: avc.Configuration) -> tuple[list[bytes], list[bytes]]:
    """SPS and PPS of everything such an encoder writes. Raises CannotCopy when they ask for another decoder."""
    nals = avc.split(_open(setup).extradata or b"")
    sequences = [nal for nal in nals if avc.kind(nal) == avc.SPS]
    pictures = [nal for nal in nals if avc.kind(nal) == avc.PPS]
    like = avc.parameters(configuration.sequences[0])
    if not sequences or not pictures or not all(avc.parameters(nal).fits(like) for nal in sequences):
        raise CannotCopy(Obstacle.NO_ENCODER, "its stream would need another decoder")
    return sequences, pictures


def _open(setup: Setup) -> VideoCodecContext:
    context = av.CodecContext.create("libx264", "w")
    context.width, context.height, context.pix_fmt = setup.width, setup.height, setup.pixel_format
    context.time_base, context.framerate = setup.time_base, setup.rate
    context.thread_count = 1
    context.flags |= Flags.global_header
    if setup.sample_aspect_ratio:
        context.sample_aspect_ratio = setup.sample_aspect_ratio
    for name, value in setup.colours:
        setattr(context, name, value)
    context.options = dict(setup.options)
    try:
        context.open(strict=False)
    except (av.FFmpegError, ValueError) as error:
        raise CannotCopy(Obstacle.NO_ENCODER, str(error)) from error
    return context


class EdgeEncoder:
    """Encodes the pictures of one piece. For one thread."""

    def __init__(self, setup: Setup) -> None:
        """Raises CannotCopy (NO_ENCODER)."""
        self._setup = setup
        self._context = _open(setup)

    def encode(self, frame: VideoFrame, pts: int, *, key: bool) -> Iterator[EncodedPacket]:
        """Packets that are ready when this picture, shown at `pts`, has come. `key`: decoding can begin at it."""
        frame.pts, frame.time_base = pts, self._setup.time_base
        frame.pict_type = PictureType.I if key else PictureType.NONE  # what it was in the film is no wish
        yield from map(self._packet, self._context.encode(frame))

    def flush(self) -> Iterator[EncodedPacket]:
        """The rest."""
        yield from map(self._packet, self._context.encode(None))

    def _packet(self, packet: Packet[VideoStream]) -> EncodedPacket:
        nals = [nal for nal in avc.split(bytes(packet)) if not (avc.kind(nal) == avc.SEI and _WATERMARK in nal[:40])]
        return EncodedPacket(avc.with_lengths(nals, self._setup.length_size), packet.pts or 0, packet.is_keyframe)
