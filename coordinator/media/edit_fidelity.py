"""How well a result follows an edit list: its pictures' times beside those that the list gives the input's.

Calculated for all pictures at once and apart from `retiming`, which gives a picture its time when it comes.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coordinator.media.retiming import EARLY, SLACK, Retiming
from coordinator.media.sound.render import RenderedSound
from framewire.edits.edit_list import EditList
from framewire.v1.job_pb2 import AudioFidelity, EditFidelity, TagFidelity

Ticks = NDArray[np.int64]
_TINY = 1e-9
"""Of a picture's time: so far is a calculated number from the exact one at most."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Pictures:
    """When a film's pictures are shown, and for how long, in `unit` seconds and in the order of showing."""

    pts: Ticks
    lengths: Ticks
    """0 when unknown."""
    unit: Fraction

    @property
    def seconds(self) -> NDArray[np.float64]:
        """When each is shown."""
        return self.pts.astype(np.float64) * float(self.unit)


class EditComparison:
    """Compares one film with what was made of it."""

    def __init__(self, retiming: Retiming, film: Pictures, result: Pictures) -> None:
        self.report = EditFidelity(joins=max(0, len(retiming.edits.spans) - 1))
        """What was found."""
        self._retiming = retiming
        self._found, self._unit = len(result.pts), result.unit
        self._compare(_Expected(retiming, film), result.seconds)

    def timing(self) -> TagFidelity:
        """Whether every kept picture is there once, in order, at its time: to the rounding of time bases."""
        report = self.report
        before, after = f"{report.frames_expected} frames kept", f"{self._found} frames"
        if report.frames_expected != self._found:
            return TagFidelity(name="time stamps", before=before, after=after, kept=False)
        kept = report.largest_error_ms <= self._rounding_ms
        words = f"off by at most {report.largest_error_ms:.3f} ms" if not kept else "as the list of what is kept says"
        return TagFidelity(name="time stamps", before=before, after=words, kept=kept)

    @property
    def _rounding_ms(self) -> float:
        """Either file's way to count time may move a picture by one of its units."""
        return float(self._retiming.facts.time_base + self._unit) * 1000

    def _compare(self, expected: _Expected, found: NDArray[np.float64]) -> None:
        report, (kept,) = self.report, np.nonzero(expected.kept)
        report.frames_expected = len(kept)
        report.frames_surplus = int(expected.surplus.sum())
        report.frames_cut = len(expected.kept) - report.frames_expected - report.frames_surplus
        both = min(len(kept), len(found))
        if not both:
            return
        kept, found = kept[:both], found[:both]
        report.largest_error_ms = _milliseconds(found - expected.shown[kept])
        _, firsts = np.unique(expected.span[kept], return_index=True)
        report.largest_offset_ms = _milliseconds(expected.offsets(kept[firsts], found[firsts]))


class _Expected:
    """What the list says of every picture of the film."""

    def __init__(self, retiming: Retiming, film: Pictures) -> None:
        spans = retiming.edits.spans
        self._starts = _seconds(span.start for span in spans)
        self._speeds = _seconds(span.speed for span in spans)
        self._shown = _seconds(retiming.starts[:-1])
        self._moments = film.seconds - float(retiming.origin)
        usual = float(retiming.usual)
        lengths = np.where(film.lengths > 0, film.lengths * float(film.unit), usual)
        begins = self._moments + np.minimum(float(SLACK), lengths / 2)
        self.span = np.searchsorted(self._starts, begins, side="right") - 1
        """The number of the span that a picture may be in; -1: none."""
        inside = (self.span >= 0) & (begins < _seconds(span.end for span in spans)[self.span])
        passed = np.maximum(0, self._moments - self._starts[self.span]) / self._speeds[self.span]
        self.shown = self._shown[self.span] + passed
        """When it is to be shown, in seconds."""
        self.surplus = inside & self._is_surplus(inside, usual)
        """In a faster part, with no place left."""
        self.kept = inside & ~self.surplus

    def offsets(self, pictures: NDArray[Any], found: NDArray[np.float64]) -> NDArray[np.float64]:
        """Seconds between pictures that are shown when `found` says and the moments whose sound is heard then."""
        span = self.span[pictures]
        heard = self._starts[span] + (found - self._shown[span]) * self._speeds[span]
        apart: NDArray[np.float64] = heard - self._moments[pictures]
        return apart

    def _is_surplus(self, inside: NDArray[np.bool_], usual: float) -> NDArray[np.bool_]:
        result = np.zeros(len(inside), np.bool_)
        if not usual or len(inside) < 2:
            return result
        place = (self._moments - self._starts[self.span]) / self._speeds[self.span] / usual + float(EARLY)
        place = np.floor(place + _TINY)
        result[1:] = (place[1:] == place[:-1]) & (self.span[1:] == self.span[:-1]) & inside[:-1]
        return result & (self._speeds[self.span] > 1)


def _seconds(values: Any) -> NDArray[np.float64]:
    return np.array([float(value) for value in values], np.float64)


def _milliseconds(seconds: NDArray[np.float64]) -> float:
    """The largest, without what calculating added."""
    return round(float(np.abs(seconds).max(initial=0)) * 1000, 6)


def describe_edit(report: AudioFidelity, edits: EditList, sound: RenderedSound | None) -> None:
    """Say what was done to a track on purpose. `sound`: what was rendered; None when packets were copied."""
    if all(span.speed == 1 for span in edits.spans):
        done = "cut" if edits.plain else "cut and made quieter or louder"
    else:
        done = "cut and run at another speed"
    if sound is None:
        report.edited = f"{done} between packets, which are the input's"
        return
    report.edited = f"{done}, encoded again ({sound.encoding.codec})"
    report.samples_out, report.samples_expected = sound.samples, sound.expected
