"""Which encoder writes the pictures, and how it is set up.

Whatever decides a result's bytes is fixed here or in the settings, threads included: the same frames give the same
stream on every machine, and units that were encoded apart have one description and follow each other in one track.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from typing import cast

import av
from av.container import OutputContainer
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream

from coordinator.media.colour import Colour
from coordinator.media.depth import DEEP_FORMAT
from coordinator.media.encoder_memory import Diet, PictureSizes, diet_of
from coordinator.media.probe import VideoFacts
from coordinator.media.siting import LEFT, NUMBERS
from framewire.errors import StepError
from framewire.steps.output import PRESETS

_FRAME_DURATION = 1 << 8  # AV_CODEC_FLAG_FRAME_DURATION: the encoder keeps each frame's duration
_SVT_PRESETS = dict(zip(PRESETS, (12, 11, 10, 9, 8, 7, 5, 4, 2), strict=True))
_SVT_LOSSLESS = 10  # faster ones write lossless streams that decode wrong or not at all
_NVENC_PRESETS = dict(zip(PRESETS, (1, 1, 2, 3, 3, 4, 5, 6, 7), strict=True))
_PARAMS = {"libx264": "x264-params", "libx265": "x265-params", "libsvtav1": "svtav1-params"}
_MOST_RATE = {"libsvtav1": Fraction(240)}
"""Frames a second that an encoder admits to; more than that come all the same, by their time stamps."""
_LEAST_SIZE = {"libx265": (50, 16), "libsvtav1": (64, 32)}
"""Width and height: smaller pictures an encoder refuses, or reaches outside its memory for (glibc checks that)."""
_CRF_END, _AV1_END = 51, 63  # ends of the scales of x264 and of SVT-AV1


@dataclass(frozen=True, slots=True, kw_only=True)
class EncoderSettings:
    """How pictures are written. All of it is part of what decides the bytes of a result."""

    codec: str = "h264"
    """`h264`, `hevc` or `av1`."""
    crf: int = 18
    """Constant rate factor on the scale of H.264: 0 is lossless, 18 is visually so, 51 is the worst."""
    preset: str = "veryfast"
    """One of x264's; other encoders take what they have for it."""
    depth: int = 0
    """Bits a sample, 8 or 10; neutral value: 0, as the input has it."""
    hardware: bool = False
    """Encode on the GPU, where there is one that can."""
    threads: int = 4
    """Threads of the encoder. Fixed, because frames depend on it a little."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoding:
    """Settings, as one input and this machine make of them. All of it decides the bytes of a result."""

    encoder: str
    """FFmpeg's name of it, e.g. `libx264`."""
    depth: int
    """8 or 10 bits a sample, in 4:2:0."""
    options: tuple[tuple[str, str], ...]
    """Of the encoder."""
    threads: int
    remarks: tuple[str, ...] = ()
    """What people should know, a line each."""

    @property
    def pixel_format(self) -> str:
        """What the encoder is given."""
        return DEEP_FORMAT if self.depth > 8 else "yuv420p"


def choose_encoding(settings: EncoderSettings, facts: VideoFacts) -> Encoding:
    """The encoder and everything it is told."""
    depth = settings.depth or (10 if facts.depth > 8 else 8)
    hardware = f"{settings.codec}_nvenc"
    wanted = settings.hardware and settings.crf > 0
    encoder = hardware if wanted and _opens(hardware, depth) else _SOFTWARE[settings.codec]
    return Encoding(
        encoder=encoder,
        depth=depth,
        options=tuple(_OPTIONS[encoder](settings, facts).items()),
        threads=settings.threads,
        remarks=tuple(_remarks(settings, facts, encoder, depth)),
    )


def takes_size(encoder: str, width: int, height: int) -> bool:
    """Whether the encoder (FFmpeg's name) can be given pictures that are this small."""
    least_width, least_height = _LEAST_SIZE.get(encoder, (2, 2))
    return width >= least_width and height >= least_height


def check_size(encoding: Encoding, width: int, height: int) -> None:
    """Raise StepError (STEP_INVALID) for a picture that is too small for the encoder."""
    if not takes_size(encoding.encoder, width, height):
        least = "x".join(map(str, _LEAST_SIZE[encoding.encoder]))
        raise StepError(
            f"the result would be {width}x{height}; {encoding.encoder} takes at least {least} pixels, so ask for h264"
        )


def add_encoder(
    output: OutputContainer, facts: VideoFacts, *, width: int, height: int, settings: EncoderSettings
) -> VideoStream:
    """A video track of `output` with its encoder, set up and not opened yet. Time stamps are in `facts.time_base`."""
    encoding = choose_encoding(settings, facts)
    options = _with_diet(dict(encoding.options), encoding, facts, settings, pixels=width * height)
    rate = facts.rate or Fraction(25)
    rate = min(rate, _MOST_RATE.get(encoding.encoder, rate))
    added = output.add_stream(encoding.encoder, rate=rate, options=options)
    stream = cast("VideoStream", added)  # what an encoder of pictures makes
    context = stream.codec_context
    context.width, context.height, context.pix_fmt = width, height, encoding.pixel_format
    context.time_base = stream.time_base = facts.time_base
    context.flags |= _FRAME_DURATION
    context.thread_count = encoding.threads
    set_shape(stream, facts)
    _tag(context, facts.colour)
    mark(context)
    return stream


def set_shape(stream: VideoStream, facts: VideoFacts) -> None:
    """Say how wide a sample is, in the encoder's stream where that can and in the file: AV1 has no words for it."""
    if facts.sample_aspect_ratio:
        stream.codec_context.sample_aspect_ratio = facts.sample_aspect_ratio
        stream.sample_aspect_ratio = facts.sample_aspect_ratio


def diet(facts: VideoFacts, settings: EncoderSettings, *, pixels: int) -> Diet:
    """What the encoder of a result with so many pixels is told for it to fit into a runner."""
    return _diet(choose_encoding(settings, facts), facts, settings, pixels)


def _diet(encoding: Encoding, facts: VideoFacts, settings: EncoderSettings, pixels: int) -> Diet:
    sizes = PictureSizes(
        source=facts.width * facts.height, result=pixels, source_depth=facts.depth, depth=encoding.depth
    )
    return diet_of(encoding.encoder, settings.preset, sizes)


def _with_diet(
    options: dict[str, str], encoding: Encoding, facts: VideoFacts, settings: EncoderSettings, *, pixels: int
) -> dict[str, str]:
    params = _diet(encoding, facts, settings, pixels).params
    if not params:
        return options
    name = _PARAMS[encoding.encoder]  # of a setting that is there twice the last counts
    return options | {name: ":".join(filter(None, (options.get(name, ""), params)))}


def mark(context: VideoCodecContext) -> None:
    """Name a track's codec as players of Apple's want it named."""
    if context.codec.canonical_name == "hevc":
        context.codec_tag = "hvc1"  # they do not play `hev1`


def _remarks(settings: EncoderSettings, facts: VideoFacts, encoder: str, depth: int) -> list[str]:
    remarks = []
    if settings.hardware and not encoder.endswith("_nvenc"):
        why = "lossless is written in software" if settings.crf == 0 else "no GPU here can encode this"
        remarks.append(f"encoded in software ({encoder}): {why}")
    if facts.depth > depth:
        remarks.append(f"the picture was reduced from {facts.depth} to {depth} bits a sample")
    if facts.sampling not in ("4:2:0", "4:0:0"):
        remarks.append(f"colour was reduced from {facts.sampling} to 4:2:0")
    if facts.alpha:
        remarks.append("transparency was left out")
    remarks.extend(f"left out: {what}" for what in facts.lost)
    if facts.colour.misread:
        remarks.append(
            f"models saw false colours: {facts.colour.misread} is not converted here; the result is tagged so"
        )
    if facts.colour.high_dynamic_range and depth < 10:
        remarks.append("high dynamic range in 8 bits shows bands; ask for 10")
    return remarks


def _x264(settings: EncoderSettings, facts: VideoFacts) -> dict[str, str]:
    quality = {"crf": str(settings.crf)} if settings.crf else {"qp": "0"}  # in 10 bits crf 0 is not lossless
    params = _joined(
        {
            "mastering-display": facts.mastering.text(whole=True) if facts.mastering else "",
            "cll": facts.light.text if facts.light else "",
            "chromaloc": chroma_number(facts.colour),
        }
    )
    return {**quality, "preset": settings.preset, **({"x264-params": params} if params else {})}


def _x265(settings: EncoderSettings, facts: VideoFacts) -> dict[str, str]:
    params = {
        "log-level": "error",
        "info": "0",
        "pools": str(settings.threads),
        "frame-threads": "2",
        "open-gop": "0",
        "lossless": "" if settings.crf else "1",
        "master-display": facts.mastering.text(whole=True) if facts.mastering else "",
        "max-cll": facts.light.text if facts.light else "",
        "chromaloc": chroma_number(facts.colour),
    }
    return {"crf": str(settings.crf), "preset": settings.preset, "x265-params": _joined(params)}


def _svt_av1(settings: EncoderSettings, facts: VideoFacts) -> dict[str, str]:
    params = {
        "lp": str(settings.threads),
        "lossless": "" if settings.crf else "1",
        "mastering-display": facts.mastering.text(whole=False) if facts.mastering else "",
        "content-light": facts.light.text if facts.light else "",
        "chroma-sample-position": {LEFT: "left", "topleft": "topleft"}.get(facts.colour.place, ""),
    }
    crf, preset = round(settings.crf * _AV1_END / _CRF_END), _SVT_PRESETS[settings.preset]
    if not settings.crf:
        preset = min(preset, _SVT_LOSSLESS)
    return {"crf": str(crf), "preset": str(preset), "svtav1-params": _joined(params)}


def _nvenc(settings: EncoderSettings, facts: VideoFacts) -> dict[str, str]:
    scale = _AV1_END / _CRF_END if settings.codec == "av1" else 1
    return {
        "preset": f"p{_NVENC_PRESETS[settings.preset]}",
        "rc": "vbr",
        "cq": str(round(settings.crf * scale)),
        "b": "0",
    }


_SOFTWARE = {"h264": "libx264", "hevc": "libx265", "av1": "libsvtav1"}
_OPTIONS: Mapping[str, Callable[[EncoderSettings, VideoFacts], dict[str, str]]] = {
    "libx264": _x264,
    "libx265": _x265,
    "libsvtav1": _svt_av1,
    "h264_nvenc": _nvenc,
    "hevc_nvenc": _nvenc,
    "av1_nvenc": _nvenc,
}


@cache
def _opens(encoder: str, depth: int) -> bool:
    """Whether this machine has a GPU that encodes this; asked once."""
    if encoder == "h264_nvenc" and depth > 8:
        return False  # NVENC writes H.264 in 8 bits
    try:
        context = cast("VideoCodecContext", av.CodecContext.create(encoder, "w"))
        context.width, context.height, context.pix_fmt = 256, 256, "yuv420p"
        context.time_base = Fraction(1, 25)
        context.open()
    except (av.FFmpegError, ValueError):
        return False
    return True


def chroma_number(colour: Colour) -> str:
    """As H.264 and HEVC number where chroma lies; empty for where it lies when nothing is said."""
    return str(NUMBERS[colour.place]) if colour.place != LEFT else ""


def _joined(params: Mapping[str, str]) -> str:
    return ":".join(f"{name}={value}" for name, value in params.items() if value)


def _tag(context: object, colour: Colour) -> None:
    for name, value in (
        ("colorspace", colour.tag),
        ("color_range", colour.range),
        ("color_primaries", colour.primaries),
        ("color_trc", colour.transfer),
    ):
        setattr(context, name, value)
