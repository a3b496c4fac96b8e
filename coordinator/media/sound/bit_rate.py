"""How many bits a second a sound track has."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

from av.audio.stream import AudioStream

from coordinator.media.errors import reading
from coordinator.media.limits import MediaLimits
from coordinator.media.open import open_input
from coordinator.media.packets import packets

_SECONDS = 30
"""Of a track that does not say; the packets of so much of it are weighed."""


def bit_rate(path: Path, track: AudioStream, limits: MediaLimits) -> int:
    """Bits a second: what the header or a tag of Matroska says, else measured at the track's beginning; 0: unknown."""
    context = track.codec_context
    said = track.bit_rate or (context.bit_rate if context else 0) or 0
    return said or _tagged(track) or _measured(path, track.index, limits)


def _tagged(track: AudioStream) -> int:
    text = next((text for name, text in track.metadata.items() if name.upper().partition("-")[0] == "BPS"), "")
    return int(text) if text.isdigit() else 0


def _measured(path: Path, index: int, limits: MediaLimits) -> int:
    size, first, last = 0, None, None
    with open_input(path, limits) as film, reading("weigh the sound"):
        base = film.streams[index].time_base or Fraction(1)
        for packet in packets(film, [index]):
            if packet.pts is None:
                continue
            last = packet.pts * base
            first = last if first is None else first
            if last - first >= _SECONDS:
                break
            size += packet.size
    return int(size * 8 / (last - first)) if first is not None and last is not None and last > first else 0
