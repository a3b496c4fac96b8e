"""An edit list applied to samples: spans one behind the other, each faded into the next.

    span 1  ──────────────────╮          around a join both are heard, one fading, the other rising;
    span 2               ╭─────────────  what fades is what the film has behind the cut: nothing is shifted

The result's samples lie where the list says, each join rounded to the nearest sample: errors do not add up. A long fade
would let what was cut be heard: if it is longer than `LONGEST_CROSSFADE`, sound fades out before the join and in
behind it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import accumulate, pairwise
from typing import Protocol, cast

import numpy as np

from coordinator.media.sound.source import Samples
from coordinator.media.sound.tempo import Tempo
from coordinator.media.sound.window import Window
from framewire.edits.edit_list import WHOLE, EditList, Span

FADE = Fraction(5, 1000)
"""Seconds of a fade on either side of a join: short enough not to be heard as one, long enough not to click."""
LONGEST_CROSSFADE = Fraction(10, 1000)
_BLOCK = 8192


@dataclass(frozen=True, slots=True)
class _Fade:
    """At one end of a span, in samples of the result."""

    inside: int = 0
    """In the span."""
    outside: int = 0
    """As many again on the other side of the join, or none."""

    @property
    def count(self) -> int:
        return self.inside + self.outside


@dataclass(frozen=True, slots=True, kw_only=True)
class _Piece:
    """A span in samples."""

    span: Span
    start: int
    """Of the film's samples, the first in which it is heard."""
    count: int
    """Of the result's samples, its own."""
    fade_in: _Fade
    fade_out: _Fade
    hold: int | None
    """The first sample of the film that the following span needs."""

    def stretches(self) -> Iterator[_Stretch]:
        """What it is read in: the fade in, the middle, the fade out."""
        yield _Stretch(self.fade_in.count, rises=True)
        body = self.count - self.fade_in.inside - self.fade_out.inside
        for done in range(0, body, _BLOCK):
            yield _Stretch(min(_BLOCK, body - done))
        yield _Stretch(self.fade_out.count, falls=True, meets=self.fade_out.outside > 0)


@dataclass(frozen=True, slots=True)
class _Stretch:
    """Samples that are read together."""

    count: int
    rises: bool = False
    falls: bool = False
    meets: bool = False
    """It is heard together with what follows."""

    def shaped(self, samples: Samples, *, ends: bool) -> Samples:
        """The samples, faded; what ends by itself is not faded out."""
        if self.rises:
            samples *= _rising(samples)
        elif self.falls and not ends:
            samples *= _rising(samples)[::-1]
        return samples


def edited(window: Window, edits: EditList, *, fade: Fraction = FADE) -> Iterator[Samples]:
    """The result's samples from its start, block by block; ends where the last sound does.

    `fade`: seconds on either side of a join, at most; 0 for hard cuts.
    """
    before = none = window.silence(0)
    for piece in _pieces(edits, window.form.rate, fade):
        window.hold = piece.hold
        voice = _voice(window, piece)
        for stretch in piece.stretches():
            there = voice.lasting(stretch.count + 1)
            samples = stretch.shaped(voice.read(stretch.count), ends=there <= stretch.count)
            samples[:, : before.shape[1]] += before
            if there < stretch.count:
                yield samples[:, : max(there, before.shape[1])]
                return
            before = samples if stretch.meets else none
            if not stretch.meets:
                yield samples


def samples_of(edits: EditList, rate: int) -> int:
    """Samples that the whole edit list makes."""
    return round(edits.seconds * rate)


class _Voice(Protocol):
    """Samples of one span, in order."""

    def lasting(self, count: int) -> int:
        """Of the next `count`, those before the sound ends for good."""

    def read(self, count: int) -> Samples:
        """The next ones, a new array."""


class _Plain:
    """At the film's own speed."""

    def __init__(self, window: Window, start: int) -> None:
        self._window = window
        self._position = start

    def lasting(self, count: int) -> int:
        return max(0, self._window.sound_until(self._position + count) - self._position)

    def read(self, count: int) -> Samples:
        self._position += count
        return self._window.read(self._position - count, self._position)


class _Led:
    """At another speed from the join on, and as it is before it: so that the join is where it belongs."""

    def __init__(self, before: _Voice, count: int, behind: _Voice) -> None:
        self._before, self._behind = before, behind
        self._left = count

    def lasting(self, count: int) -> int:
        first = min(self._left, count)
        there = self._before.lasting(first)
        return there if there < first else first + self._behind.lasting(count - first)

    def read(self, count: int) -> Samples:
        first = min(self._left, count)
        self._left -= first
        return np.concatenate([self._before.read(first), self._behind.read(count - first)], axis=1)


class _Scaled:
    """With another volume."""

    def __init__(self, voice: _Voice, volume: Fraction) -> None:
        self._voice = voice
        self._volume = float(volume)

    def lasting(self, count: int) -> int:
        return self._voice.lasting(count)

    def read(self, count: int) -> Samples:
        samples = self._voice.read(count)
        samples *= self._volume
        return samples


def _voice(window: Window, piece: _Piece) -> _Voice:
    span = piece.span
    voice: _Voice = _Plain(window, piece.start)
    if span.speed != WHOLE:
        led = piece.fade_in.outside
        end = max(piece.start + led + 1, round(span.end * window.form.rate))
        voice = _Led(voice, led, Tempo(window, piece.start + led, end, span.speed))
    return voice if span.volume == WHOLE else _Scaled(voice, span.volume)


def _pieces(edits: EditList, rate: int, fade: Fraction) -> list[_Piece]:
    counts = _counts(edits, rate)
    fades = [_Fade(_length(rate, fade, counts[:1])) if edits.spans and edits.spans[0].start else _Fade()]
    for number, (span, following) in enumerate(pairwise(edits.spans)):
        fades.append(_fade(span, following, fade, rate, counts[number : number + 2]))
    fades.append(_Fade(_length(rate, fade, counts[-1:])))
    starts = [round(span.start * rate) - fades[number].outside for number, span in enumerate(edits.spans)]
    return [
        _Piece(
            span=span,
            start=starts[number],
            count=counts[number],
            fade_in=fades[number],
            fade_out=fades[number + 1],
            hold=starts[number + 1] if number + 1 < len(starts) else None,
        )
        for number, span in enumerate(edits.spans)
    ]


def _counts(edits: EditList, rate: int) -> list[int]:
    """Samples of each span in the result: between the nearest samples to its start and to its end there."""
    ends = [round(passed * rate) for passed in accumulate((span.seconds for span in edits.spans), initial=Fraction(0))]
    return [end - start for start, end in pairwise(ends)]


def _fade(span: Span, following: Span, fade: Fraction, rate: int, counts: Sequence[int]) -> _Fade:
    goes_on = span.end == following.start
    if goes_on or fade <= LONGEST_CROSSFADE:
        count = _length(rate, min(fade, LONGEST_CROSSFADE), counts)
        return _Fade(count, count)
    return _Fade(_length(rate, fade, counts))


def _length(rate: int, fade: Fraction, counts: Sequence[int]) -> int:
    """Samples of a fade inside each span; two of them never meet in the middle of one."""
    return min(round(fade * rate), *(count // 2 for count in counts)) if counts else 0


def _rising(samples: Samples) -> Samples:
    """From 0 to 1; with its mirror image it adds up to 1 everywhere, so that nothing gets louder than either."""
    count = samples.shape[1]
    ramp = 0.5 - 0.5 * np.cos(np.pi * (np.arange(count) + 0.5) / max(1, count))
    return cast("Samples", ramp.astype(samples.dtype))
