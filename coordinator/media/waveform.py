"""A picture of a film's sound over time that shows which parts are kept.

    ┌────────────────────────────┐   light: kept      tinted: played faster or more quietly      dark: cut
    │ ▁▂█▅▂▁      ▁▃▇▅▁   ▂▆▃▁   │   outer shape: the loudest sample; inner shape: root mean square
    │ ▔▔█▔▔▔      ▔▔▇▔▔   ▔▆▔▔   │   lines: the threshold
    │ 0:00     0:10     0:20     │
    └────────────────────────────┘

Levels are drawn by their square root, so that quiet sound can be seen. Memory is that of the picture, however long the
film is.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from coordinator.media.lettering import HEIGHT, lettering
from coordinator.media.png import png
from framewire.edits.edit_list import EditList, Span

Levels = NDArray[np.float32]
_Colours = NDArray[np.float64]

_KEPT, _CHANGED, _CUT = (np.array(colour, np.float64) for colour in ((250, 251, 253), (255, 236, 200), (196, 200, 208)))
_PEAK, _RMS = (np.array(colour, np.float64) for colour in ((126, 170, 232), (33, 86, 178)))
_CUT_PEAK, _CUT_RMS = (np.array(colour, np.float64) for colour in ((164, 169, 178), (128, 133, 143)))
_THRESHOLD, _INK, _PAPER, _EDGE = (214, 84, 60), (60, 64, 72), (255, 255, 255), (150, 154, 162)
_STEPS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 28800, 86400)
_BETWEEN_TICKS = 55
"""Pixels, at least, where letters are not enlarged."""
_LEAST_HEIGHT_WITH_AXIS = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Wave:
    """How loud a film is, hop by hop from its first picture; ratios of full scale, from 0 to 1."""

    rms: Levels
    peak: Levels
    """As many as `rms`."""
    hop: Fraction
    """Seconds."""


def draw_waveform(
    wave: Wave, edits: EditList, seconds: Fraction, *, width: int, height: int, threshold: float | None = None
) -> bytes:
    """PNG of a film of this length, `width` x `height`; a level of `threshold` is a line. Raises av.FFmpegError."""
    axis = _axis_height(width, height)
    picture = np.empty((height, width, 3), np.uint8)
    picture[:] = _PAPER
    _draw_sound(picture[: height - axis], wave, _Parts(edits, seconds, width), threshold)
    if axis:
        _draw_axis(picture[height - axis :], float(seconds))
    return png(picture)


class _Parts:
    """For each column of the picture, which share of its time is kept as it is, changed, cut."""

    def __init__(self, edits: EditList, seconds: Fraction, width: int) -> None:
        self.seconds = float(seconds)
        self.edges = np.linspace(0, self.seconds, width + 1)
        self.kept = self._share(span for span in edits.spans if span.plain)
        self.changed = self._share(span for span in edits.spans if not span.plain)

    def _share(self, spans: Iterable[Span]) -> NDArray[np.float64]:
        bounds = [(float(span.start), float(span.end)) for span in spans]
        if not bounds or not self.seconds:
            return np.zeros(len(self.edges) - 1)
        times = np.array(bounds).ravel()
        taken = np.concatenate([[0], np.cumsum(np.diff(times) * (np.arange(len(times) - 1) % 2 == 0))])
        passed = np.interp(self.edges, times, taken)
        share: NDArray[np.float64] = np.diff(passed) / np.diff(self.edges)
        return share.clip(0, 1)

    def blend(self, kept: _Colours, changed: _Colours, cut: _Colours) -> NDArray[np.uint8]:
        """A colour for each column."""
        gone = (1 - self.kept - self.changed).clip(0, 1)
        colours = np.outer(self.kept, kept) + np.outer(self.changed, changed) + np.outer(gone, cut)
        return colours.clip(0, 255).astype(np.uint8)


def _draw_sound(area: NDArray[np.uint8], wave: Wave, parts: _Parts, threshold: float | None) -> None:
    """Mirrored about the middle of `area`."""
    away = np.abs(np.arange(area.shape[0]) - (area.shape[0] - 1) / 2)[:, None]
    area[:] = parts.blend(_KEPT, _CHANGED, _CUT)
    peak, rms = _columns(wave, parts)
    for levels, loud, cut in ((peak, _PEAK, _CUT_PEAK), (rms, _RMS, _CUT_RMS)):
        inside = away <= np.maximum(_reach(levels, area.shape[0]), 0.5)
        np.copyto(area, parts.blend(loud, loud, cut)[None], where=inside[:, :, None])
    if threshold:
        line = np.abs(away[:, 0] - _reach(np.array([threshold]), area.shape[0])) < 0.5
        area[np.ix_(line, np.arange(area.shape[1]) % 8 < 4)] = _THRESHOLD


def _reach(levels: NDArray[np.floating], height: int) -> NDArray[np.float64]:
    """Pixels from the middle."""
    return np.asarray(np.sqrt(levels.clip(0, 1)) * (height / 2 - 1), np.float64)


def _columns(wave: Wave, parts: _Parts) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Peak and RMS of each column; silence where the sound has ended."""
    count, width = len(wave.rms), len(parts.edges) - 1
    if not count:
        return np.zeros(width), np.zeros(width)
    hops = (parts.edges[:-1] / float(wave.hop)).astype(np.int64)
    inside = hops < count
    first = np.minimum(hops, count - 1)
    peak = np.maximum.reduceat(wave.peak, first)
    sizes = np.maximum(np.diff(np.append(first, max(first[-1] + 1, _end(wave, parts)))), 1)
    power = np.add.reduceat(np.square(wave.rms[: first[-1] + sizes[-1]], dtype=np.float64), first) / sizes
    return np.where(inside, peak, 0).astype(np.float64), np.where(inside, np.sqrt(power), 0)


def _end(wave: Wave, parts: _Parts) -> int:
    """The hop behind the last that the film lasts for."""
    return min(len(wave.rms), int(np.ceil(parts.edges[-1] / float(wave.hop))))


def _axis_height(width: int, height: int) -> int:
    return HEIGHT * _scale(width) + 8 if height >= _LEAST_HEIGHT_WITH_AXIS else 0


def _scale(width: int) -> int:
    return 2 if width >= 1200 else 1


def _draw_axis(area: NDArray[np.uint8], seconds: float) -> None:
    area[0] = _EDGE
    scale = _scale(area.shape[1])
    for moment in _ticks(seconds, area.shape[1]):
        x = int(moment / seconds * area.shape[1])
        area[:6, x] = _INK
        ink = lettering(_clock(moment), scale)
        place = area[5 : 5 + ink.shape[0], x + 4 : x + 4 + ink.shape[1]]
        if place.shape[:2] == ink.shape:
            place[ink] = _INK


def _ticks(seconds: float, width: int) -> Iterator[float]:
    if seconds <= 0:
        return
    step = next((step for step in _STEPS if step / seconds * width >= _BETWEEN_TICKS * _scale(width)), _STEPS[-1])
    for number in range(math.ceil(seconds / step)):
        yield number * step


def _clock(moment: float) -> str:
    """`0:05`, `0:00.2`, `1:02:00`."""
    minutes, seconds = divmod(round(moment * 10), 600)
    hours, minutes = divmod(minutes, 60)
    tenths = f".{seconds % 10}" if seconds % 10 else ""
    return (f"{hours}:{minutes:02}" if hours else str(minutes)) + f":{seconds // 10:02}{tenths}"
