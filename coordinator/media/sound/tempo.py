"""Sound at another speed with its pitch kept, by FFmpeg's `atempo`."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import cast

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.filter import Graph

from coordinator.media.errors import reading
from coordinator.media.sound.source import Samples
from coordinator.media.sound.window import Window

_BLOCK = 4096
_MOST = 2.0
"""Beyond it `atempo` leaves samples out; several of them in a row blend all."""


class Tempo:
    """A track from `start` to `end`, `speed` times as fast.

    Nothing behind `end` is heard: `atempo` looks ahead, and speech that follows would begin too early. What it looks at
    is the end of the part itself, there and back.
    """

    def __init__(self, window: Window, start: int, end: int, speed: Fraction) -> None:
        self._window = window
        self._start, self._end, self._speed = start, end, speed
        self._last = window.silence(0)
        self._position = start
        self._fed = 0
        self._given = 0
        self._ready: list[Samples] = []
        self._count = 0
        self._graph = _graph(window, speed)

    def read(self, count: int) -> Samples:
        """The next samples of the result, exactly so many."""
        with reading("change the speed of the sound"):
            while self._count < count:
                self._feed()
        samples = np.concatenate([self._window.silence(0), *self._ready], 1)
        self._ready, self._count = [samples[:, count:]], samples.shape[1] - count
        self._given += count
        return samples[:, :count]

    def lasting(self, count: int) -> int:
        """Of the next `count` samples, those before the track's end."""
        end = self._window.sound_until(self._place(self._given + count))
        return max(0, min(count, math.ceil((end - self._start) / self._speed) - self._given))

    def _place(self, sample: int) -> int:
        """The film's sample that one of the result is made of."""
        return self._start + math.ceil(sample * self._speed)

    def _feed(self) -> None:
        samples = self._next()
        self._graph.push(self._frame(samples))
        while True:
            try:
                made = self._graph.pull()
            except (av.error.BlockingIOError, av.error.EOFError):
                return
            assert isinstance(made, AudioFrame)  # noqa: S101 - the graph has sound only
            piece = cast("Samples", made.to_ndarray()).reshape(-1, self._window.form.channels).T
            self._ready.append(piece)
            self._count += piece.shape[1]

    def _next(self) -> Samples:
        if self._position >= self._end:
            there_and_back = np.concatenate([self._last[:, ::-1], self._last], axis=1)
            return np.tile(there_and_back, -(-_BLOCK // there_and_back.shape[1]))
        stop = min(self._position + _BLOCK, self._end)
        samples = self._window.read(self._position, stop)
        self._position = stop
        self._last = np.concatenate([self._last, samples], axis=1)[:, -_BLOCK:]
        return samples

    def _frame(self, samples: Samples) -> AudioFrame:
        form = self._window.form
        packed = np.ascontiguousarray(samples.T).reshape(1, -1)
        frame = AudioFrame.from_ndarray(packed, format=_packed(window=self._window), layout=form.layout)
        frame.sample_rate, frame.pts, frame.time_base = form.rate, self._fed, Fraction(1, form.rate)
        self._fed += samples.shape[1]
        return frame


def _packed(window: Window) -> str:
    return window.form.name.removesuffix("p")


def _graph(window: Window, speed: Fraction) -> Graph:
    form, graph = window.form, Graph()
    stages = max(1, math.ceil(abs(math.log(speed, _MOST)) - 1e-9))
    source = graph.add_abuffer(
        sample_rate=form.rate, format=_packed(window), layout=form.layout, time_base=Fraction(1, form.rate)
    )
    tempos = [graph.add("atempo", f"{float(speed) ** (1 / stages):.12f}") for _ in range(stages)]
    graph.link_nodes(source, *tempos, graph.add("abuffersink")).configure()
    return graph
