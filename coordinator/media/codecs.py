"""Which encoder writes the pictures, and how it is set up."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from av.container import OutputContainer
from av.video.stream import VideoStream

from coordinator.media.colour import Colour
from coordinator.media.probe import VideoFacts

_FRAME_DURATION = 1 << 8  # AV_CODEC_FLAG_FRAME_DURATION: the encoder keeps each frame's duration


@dataclass(frozen=True, slots=True, kw_only=True)
class EncoderSettings:
    """How H.264 is written. All of it is part of what decides the bytes of a result."""

    crf: int = 18
    """Constant rate factor: 0 is lossless, 18 is visually so, 51 is the worst."""
    preset: str = "veryfast"
    """x264 preset."""
    threads: int = 0
    """Threads of the encoder; neutral value: 0, as many as there are processors."""


def add_encoder(
    output: OutputContainer, facts: VideoFacts, *, width: int, height: int, settings: EncoderSettings
) -> VideoStream:
    """A video track of `output` with its encoder, set up and not opened yet. Time stamps are in `facts.time_base`."""
    stream = output.add_stream(
        "libx264",
        rate=facts.rate or Fraction(25),
        options={"crf": str(settings.crf), "preset": settings.preset},
    )
    context = stream.codec_context
    context.width, context.height, context.pix_fmt = width, height, "yuv420p"
    context.time_base = stream.time_base = facts.time_base
    context.flags |= _FRAME_DURATION
    context.thread_count = settings.threads
    if facts.sample_aspect_ratio:
        context.sample_aspect_ratio = facts.sample_aspect_ratio
    _tag(context, facts.colour)
    return stream


def _tag(context: object, colour: Colour) -> None:
    for name, value in (
        ("colorspace", colour.tag),
        ("color_range", colour.range),
        ("color_primaries", colour.primaries),
        ("color_trc", colour.transfer),
    ):
        setattr(context, name, value)
