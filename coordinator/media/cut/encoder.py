"""The encoder of pictures beside a cut: what it writes goes into one track with copied packets.

Its parameter sets have a number of their own and stand in the track's description beside the film's, so a copied packet
means what it meant, and players that read sets from the description alone (`avc1`) find both.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import cast

import av
from av.codec.context import Flags
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.frame import PictureType, VideoFrame
from av.video.stream import VideoStream

from coordinator.media.codecs import chroma_number, takes_size
from coordinator.media.cut.nal import Configuration, Parameters, split, with_lengths
from coordinator.media.cut.obstacles import CannotCopy, Obstacle
from coordinator.media.probe import VideoFacts

CRF = 16
PRESET = "ultrafast"
_ENCODERS = {"h264": "libx264", "hevc": "libx265"}
_AVC_PROFILES = {66: "baseline", 77: "main", 100: "high", 110: "high10", 122: "high422"}
_HEVC_PROFILES = {1: "main", 2: "main10"}
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
    configuration: Configuration
    number: int
    """Of the parameter sets."""


@dataclass(frozen=True, slots=True)
class EncodedPacket:
    """A picture as it goes into the result."""

    data: bytes
    pts: int
    is_keyframe: bool


def choose_setup(video: VideoStream, facts: VideoFacts, configuration: Configuration) -> Setup:
    """Raises CannotCopy (NO_ENCODER) when no encoder here writes this profile or pixel format."""
    context = video.codec_context
    like, pixel_format = configuration.parameters[0], context.pix_fmt or ""
    choose = _avc if configuration.codec == "h264" else _hevc
    try:
        number = configuration.free_number()
        options = choose(like, facts, number)
    except (KeyError, ValueError) as error:
        raise CannotCopy(Obstacle.NO_ENCODER, str(error)) from error
    if pixel_format not in _FORMATS:
        raise CannotCopy(Obstacle.NO_ENCODER, pixel_format)
    if configuration.codec == "hevc" and not takes_size("libx265", context.width, context.height):
        raise CannotCopy(Obstacle.NO_ENCODER, f"{context.width}x{context.height}")
    return Setup(
        configuration=configuration,
        number=number,
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
        options=tuple(options.items()),
    )


def _avc(like: Parameters, facts: VideoFacts, number: int) -> dict[str, str]:
    params = {
        "sps-id": str(number),
        "keyint": "infinite",
        "scenecut": "0",
        "bframes": "0",
        "force-cfr": "0",
        "cabac": "0" if like.profile == 66 else "1",
        "8x8dct": "1" if like.profile >= 100 else "0",  # without it x264 names its stream Main
        "mastering-display": facts.mastering.text(whole=True) if facts.mastering else "",
        "cll": facts.light.text if facts.light else "",
        "chromaloc": chroma_number(facts.colour),
    }
    return {
        "crf": str(CRF),
        "preset": PRESET,
        "tune": "zerolatency",
        "profile": _AVC_PROFILES[like.profile],
        "level": f"{like.level // 10}.{like.level % 10}",
        "x264-params": _joined(params),
    }


def _hevc(like: Parameters, facts: VideoFacts, _: int) -> dict[str, str]:
    params = {
        "log-level": "error",
        "info": "0",
        "pools": "1",
        "frame-threads": "1",
        "keyint": "-1",
        "scenecut": "0",
        "bframes": "0",
        "rc-lookahead": "1",
        "repeat-headers": "0",
        "level-idc": f"{like.level / 30:.1f}",
        "high-tier": str(like.profile >> 5),
        "master-display": facts.mastering.text(whole=True) if facts.mastering else "",
        "max-cll": facts.light.text if facts.light else "",
        "chromaloc": chroma_number(facts.colour),
    }
    return {
        "crf": str(CRF),
        "preset": PRESET,
        "profile": _HEVC_PROFILES[like.profile & 31],
        "forced-idr": "1",
        "x265-params": _joined(params),
    }


def _joined(params: Mapping[str, str]) -> str:
    return ":".join(f"{name}={value}" for name, value in params.items() if value)


def parameter_sets(setup: Setup) -> list[bytes]:
    """Those of everything such an encoder writes. Raises CannotCopy when they ask for another decoder."""
    configuration = setup.configuration
    try:
        sets = [
            configuration.numbered(nal, setup.number)
            for nal in split(_open(setup).extradata or b"")
            if configuration.is_set(nal)
        ]
        said = [found for nal in sets if (found := configuration.parameters_of(nal)) is not None]
    except ValueError as error:
        raise CannotCopy(Obstacle.NO_ENCODER, str(error)) from error
    if not said or not all(one.fits(configuration.parameters[0]) for one in said):
        raise CannotCopy(Obstacle.NO_ENCODER, f"its stream would need another decoder: {said}")
    return sets


def _open(setup: Setup) -> VideoCodecContext:
    context = cast("VideoCodecContext", av.CodecContext.create(_ENCODERS[setup.configuration.codec], "w"))
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
        configuration = self._setup.configuration
        nals = [
            configuration.numbered(nal, self._setup.number)
            for nal in split(bytes(packet))
            if not configuration.is_set(nal) and _WATERMARK not in nal[:40]
        ]
        return EncodedPacket(with_lengths(nals, configuration.length_size), packet.pts or 0, packet.is_keyframe)
