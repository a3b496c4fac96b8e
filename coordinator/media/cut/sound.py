"""Which packets of a sound track go into the result, and when they are heard there.

A join lies between two packets, and each track is as long as the pictures it belongs to, to the nearest packet: what is
off at one join is made up for at the next, so it never adds up.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction

from av.audio.stream import AudioStream
from av.packet import Packet
from av.stream import Stream

from coordinator.media.cut.plan import Part

COPIED = frozenset({"aac", "ac3", "eac3", "opus", "mp2", "flac", "alac"})
"""Codecs whose decoders begin at any packet."""
OVERLAPPED = frozenset({"aac", "ac3", "eac3", "opus", "mp2"})
"""Of them, those that blend each packet into the next: a join of their packets is a crossfade by itself."""

_SAMPLES = {"ac3": 1536, "mp2": 1152}
"""Of a packet, where the codec knows one length only and a file need not say it."""


def packet_seconds(track: AudioStream) -> Fraction | None:
    """How long a packet sounds; None when packets need not be equally long."""
    context = track.codec_context
    if context is None or not context.sample_rate or not packet_samples(track):
        return None
    return Fraction(packet_samples(track), context.sample_rate)


def packet_samples(track: AudioStream) -> int:
    """Samples of every packet; 0 when they need not have as many."""
    context = track.codec_context
    return context.frame_size or _SAMPLES.get(context.codec.canonical_name, 0)


def can_be_copied(track: Stream, frame: Fraction, fade: Fraction) -> bool:
    """Whether cutting between packets does for this track.

    Joins must never be further off than half a picture's time (`frame`, seconds), and what sounds on either side must
    fade over at least `fade` seconds: codecs that blend each packet into the next do so over a packet's time.
    """
    if not isinstance(track, AudioStream) or track.codec_context is None:
        return False
    seconds, name = packet_seconds(track), track.codec_context.codec.canonical_name
    if name not in COPIED or seconds is None or seconds > frame:
        return False
    return fade <= (seconds if name in OVERLAPPED else 0)


class SoundCutter:
    """Chooses among one track's packets. `packets` gets them in order, once each."""

    def __init__(self, track: AudioStream, parts: Sequence[Part], zero: Fraction, *, early: bool) -> None:
        """`zero`: the film's own time of its first picture. `early`: the result's container knows times before 0.

        The time of the result's packets is in samples.
        """
        self.time_base = Fraction(1, track.codec_context.sample_rate)
        self.copied = 0
        self.furthest = Fraction(0)
        """Seconds by which sound is off at the worst join."""
        rate = track.codec_context.sample_rate
        self._length = packet_samples(track)
        self._grain = rate // 250  # what time stamps may be rounded by
        scale = (track.time_base or self.time_base) * rate
        self._scale = scale.numerator, scale.denominator
        self._parts = [
            (round((part.start + zero) * rate), round(part.shown * rate), round((part.end - part.start) * rate))
            for part in parts
        ]
        self._part = 0
        self._at: int | None = None
        self._inside = False
        self._early = early
        self._before: tuple[Packet[Stream], int] | None = None

    @property
    def done(self) -> bool:
        """No packet that comes will be taken."""
        return self._part >= len(self._parts)

    def packets(self, packet: Packet[Stream]) -> Iterator[Packet[Stream]]:
        """The packet with its time in the result; nothing when it is not kept."""
        if packet.pts is None:
            return
        times, over = self._scale
        start, half = (2 * packet.pts * times + over) // (2 * over), self._length // 2
        while not self.done:
            origin, shown, length = self._parts[self._part]
            wanted = shown + start - origin
            place = self._place(wanted)
            if place + half >= shown + length:
                self._part, self._inside = self._part + 1, False
                continue
            yield from self._taken(packet, wanted, place, shown)
            return

    def _place(self, wanted: int) -> int:
        """Behind the packet before; where it belongs when there is a gap."""
        if self._at is None:
            return wanted if self._early else max(0, wanted)
        return wanted if wanted - self._at > self._length // 2 + self._grain else self._at

    def _taken(self, packet: Packet[Stream], wanted: int, place: int, shown: int) -> Iterator[Packet[Stream]]:
        if self._at is None:
            if (
                wanted + (self._length if self._early else self._length // 2) <= shown
            ):  # before the first part; the decoder may want it to begin with
                self._before = (packet, wanted)
                return
            yield from self._preroll(wanted)
        elif not self._inside and place - wanted > self._length // 2:
            return  # what came before still sounds
        if not self._inside:
            self.furthest = max(self.furthest, abs(place - wanted) * self.time_base)
        self._inside = True
        self._at = place + self._length
        yield self._placed(packet, place)

    def _preroll(self, first: int) -> Iterator[Packet[Stream]]:
        """The packet before the first: what the first one blends out of. It lies before 0 and is not heard."""
        if self._before is not None and self._early and self._before[1] + self._length == first <= 0:
            yield self._placed(self._before[0], first - self._length)
        self._before = None

    def _placed(self, packet: Packet[Stream], place: int) -> Packet[Stream]:
        packet.time_base = self.time_base
        packet.pts = packet.dts = place
        packet.duration = self._length
        self.copied += 1
        return packet
