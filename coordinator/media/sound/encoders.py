"""Which encoder writes a track's sound again: its own codec's where there is one, at no lower bit rate."""

from __future__ import annotations

import contextlib
import io
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import cast

import av
from av.audio.codeccontext import AudioCodecContext
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.container import OutputContainer

from coordinator.media.container import assumed_layout
from coordinator.media.sound.source import SoundFormat, converts

log = logging.getLogger(__name__)

_ENCODERS: Mapping[str, str] = {
    **{name: name for name in ("aac", "flac", "alac", "ac3", "eac3", "mp2", "wavpack", "tta")},
    "mp3": "libmp3lame",
    "opus": "libopus",
}
"""By the codec's name. Those of PCM are called as it is."""
_LOSSLESS = {"truehd", "mlp", "wavpack", "tta", "alac", "flac"}
_FORMATS: Mapping[str, Sequence[str]] = {
    "libmp3lame": ("fltp",),
    "libopus": ("flt",),
    "flac": ("s32", "s16"),
    "alac": ("s32p", "s16p"),
    "wavpack": ("fltp", "s32p", "s16p"),
    "tta": ("s32", "s16"),
}
"""Sample formats to choose from; the last where 16 bits hold all of it."""
_LEAST_RATE: Mapping[str, int] = {
    "aac": 64_000,
    "mp3": 64_000,
    "opus": 48_000,
    "ac3": 64_000,
    "eac3": 64_000,
    "mp2": 96_000,
}
"""Bits a second and channel, for a track that does not say its own or says too little to be encoded twice."""
_STEPS: Mapping[str, Sequence[int]] = {
    "mp3": (64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    "mp2": (64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    "ac3": (64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448, 512, 576, 640),
}
"""Kilobits a second that there are."""
_OPTIONS: Mapping[str, dict[str, str]] = {"aac": {"aac_coder": "fast"}}
"""Of encoders. For sound that is encoded a second time nearness counts: FFmpeg's `fast` was 5 to 16 dB nearer than its
`twoloop`, at no more bits and in half the time."""
_HIGHEST_RATE = 768_000
"""Samples a second; a file that says more says nonsense."""
_MOST_OPUS = 256_000
"""Bits a second and channel."""
_UNKNOWN_LAYOUTS = {1: "mono", 2: "stereo", 3: "2.1", 4: "4.0", 5: "5.0", 6: "5.1", 7: "6.1", 8: "7.1"}


@dataclass(frozen=True, slots=True, kw_only=True)
class SoundEncoding:
    """How a track is written."""

    codec: str
    """FFmpeg's name of the codec, e.g. `aac`."""
    encoder: str
    """And of the encoder."""
    format: str
    """Of samples, as the encoder takes them."""
    rate: int
    layout: str
    channels: int
    bit_rate: int
    """Bits a second; 0 for a codec that takes what it needs."""
    deep: bool
    remarks: tuple[str, ...] = ()
    """What people should know, a line each."""

    @property
    def samples(self) -> SoundFormat:
        """What is to be decoded to."""
        return SoundFormat(rate=self.rate, layout=self.layout, channels=self.channels, deep=self.deep)


def choose_sound_encoding(track: AudioStream, container: str, *, bit_rate: int = 0) -> SoundEncoding | None:
    """How the track is encoded for a container (FFmpeg's name), whatever it is now; None when nothing can.

    `bit_rate`: the track's, in bits a second, where its header does not say it.
    """
    context: AudioCodecContext | None = track.codec_context
    if context is None or not 0 < context.sample_rate <= _HIGHEST_RATE or not context.layout.nb_channels:
        return None
    wanted = bit_rate or track.bit_rate or context.bit_rate or 0
    return next(filter(None, (_fitted(track, codec, container, wanted) for codec in _candidates(track))), None)


def add_sound(output: OutputContainer, encoding: SoundEncoding) -> AudioStream:
    """A track of `output` with its encoder, set up and not opened yet."""
    added = output.add_stream(encoding.encoder, rate=encoding.rate, options=_OPTIONS.get(encoding.encoder, {}))
    stream = cast("AudioStream", added)  # what an encoder of sound makes
    _set_up(stream.codec_context, encoding)
    return stream


def _candidates(track: AudioStream) -> Iterator[str]:
    """Codecs in the order in which they are tried."""
    name = track.codec_context.codec.canonical_name
    yield name
    if name in _LOSSLESS or name.startswith("pcm"):
        yield "flac"
    yield "aac"
    yield "opus"


def _fitted(track: AudioStream, codec: str, container: str, wanted: int) -> SoundEncoding | None:
    encoder = codec if codec.startswith("pcm_") else _ENCODERS.get(codec, "")
    if not encoder or encoder not in _takes(container):
        return None
    for layout in _layouts(track):
        encoding = _encoding(track, codec, encoder, layout, wanted)
        if encoding is not None and _opens(encoding, container) and converts(_silence(track), encoding.samples):
            return encoding
    return None


def _encoding(track: AudioStream, codec: str, encoder: str, layout: str, wanted: int) -> SoundEncoding | None:
    try:
        found = av.Codec(encoder, "w")
    except av.codec.codec.UnknownCodecError:
        return None
    context = track.codec_context
    rate = _rate(context.sample_rate, found.audio_rates)
    bits = _bits(context)
    formats = _FORMATS.get(encoder) or [form.name for form in found.audio_formats or ()][:1]
    return SoundEncoding(
        codec=codec,
        encoder=encoder,
        format=formats[-1] if bits <= 16 else formats[0],
        rate=rate,
        layout=layout,
        channels=av.AudioLayout(layout).nb_channels,
        bit_rate=_bit_rate(codec, wanted, av.AudioLayout(layout).nb_channels),
        deep=bits > 24 and formats[0].rstrip("p") in ("s32", "dbl", "s64"),
        remarks=tuple(_remarks(track, codec, rate, layout)),
    )


def _layouts(track: AudioStream) -> Iterator[str]:
    """The track's own, then the usual one of as many channels, then stereo."""
    layout = track.codec_context.layout
    named = assumed_layout(track)
    if named is None:
        yield layout.name
    if usual := named or _UNKNOWN_LAYOUTS.get(layout.nb_channels):
        yield usual
    yield "stereo"


def _rate(rate: int, known: Sequence[int] | None) -> int:
    """The lowest the encoder takes that is no lower, or its highest."""
    if not known or rate in known:
        return rate
    return min((other for other in known if other >= rate), default=max(known))


def _bits(context: AudioCodecContext) -> int:
    """Bits a sample that are worth keeping."""
    kind = context.format.name.rstrip("p")
    if context.codec.canonical_name.startswith("pcm_s24") or "24" in context.codec.canonical_name:
        return 24
    return {"u8": 8, "s16": 16, "s32": 32, "flt": 24, "dbl": 53, "s64": 64}.get(kind, 24)


def _bit_rate(codec: str, wanted: int, channels: int) -> int:
    if codec not in _LEAST_RATE:
        return 0
    bits = max(wanted, _LEAST_RATE[codec] * channels)
    if codec in _STEPS:
        return 1000 * next((step for step in _STEPS[codec] if step * 1000 >= bits), _STEPS[codec][-1])
    return min(bits, _MOST_OPUS * channels)


def _remarks(track: AudioStream, codec: str, rate: int, layout: str) -> Iterator[str]:
    context, name = track.codec_context, f"audio track {track.index}"
    if context.codec.canonical_name != codec:
        yield f"{name} was encoded as {codec}: nothing here writes {context.codec.canonical_name} for this file"
    if context.sample_rate != rate:
        yield f"{name} has {rate} samples a second instead of {context.sample_rate}: {codec} knows no such rate"
    if av.AudioLayout(layout).nb_channels != context.layout.nb_channels:
        yield f"{name} was mixed down from {context.layout.name} to {layout}"


def _set_up(context: AudioCodecContext, encoding: SoundEncoding) -> None:
    context.sample_rate = encoding.rate
    context.layout = encoding.layout
    context.format = encoding.format
    if encoding.bit_rate:
        context.bit_rate = encoding.bit_rate


def _silence(track: AudioStream) -> AudioFrame:
    """A frame like those of the track."""
    context = track.codec_context
    frame = AudioFrame(context.format.name, context.layout.name, 64)
    frame.sample_rate = context.sample_rate
    return frame


def _opens(encoding: SoundEncoding, container: str) -> bool:
    """Whether the encoder takes this, and the container what it makes."""
    output = av.open(io.BytesIO(), "w", format=container)
    try:
        add_sound(output, encoding)
        output.start_encoding()
    except (ValueError, av.FFmpegError) as error:
        log.info("%s in %s: not with %s at %d: %s", encoding.encoder, container, encoding.layout, encoding.rate, error)
        return False
    finally:
        with contextlib.suppress(ValueError, av.FFmpegError):  # a file without packets has no end
            output.close()
    return True


@cache
def _takes(container: str) -> frozenset[str]:
    """Encoders whose packets the container takes."""
    with av.open(os.devnull, "w", format=container) as output:  # nothing is written before a header is
        return frozenset(output.supported_codecs)
