"""How loud each hop of a track is."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.float32]
"""`[channels, samples]`, full scale is 1."""
Levels = NDArray[np.float32]
"""One for each hop, from 0; ratios of full scale."""


class LevelMeter:
    """Measures blocks of samples. Memory: four bytes a hop and channel, as many again where peaks are wanted."""

    def __init__(self, rate: int, hop: Fraction, *, peaks: bool = False) -> None:
        self._hop = hop * rate  # in samples
        self._squares = _PerHop()
        self._peaks = _PerHop() if peaks else None

    def take(self, position: int, samples: Samples) -> None:
        """Samples from this place on, counted from the film's first picture; what lies before it is not measured."""
        samples, position = samples[:, max(0, -position) :], max(0, position)
        if not samples.shape[1]:
            return
        first, starts = self._starts(position, samples.shape[1])
        squares = samples * samples
        self._squares.add(first, np.add.reduceat(squares, starts, axis=1))
        if self._peaks is not None:
            self._peaks.raise_to(first, np.maximum.reduceat(squares, starts, axis=1))

    def rms(self) -> Levels:
        """Root mean square of the loudest channel, for each hop up to the last with sound."""
        root: Levels = np.sqrt(self._squares.loudest() / np.float32(self._hop))
        return root

    def peak(self) -> Levels:
        """Of the loudest sample; as many as `rms`. Only where peaks are wanted."""
        return np.sqrt(self._peaks.loudest()) if self._peaks is not None else np.zeros(0, np.float32)

    def _starts(self, position: int, count: int) -> tuple[int, NDArray[np.int64]]:
        """The first hop, and where it and each that follows begins in the block."""
        numerator, denominator = self._hop.numerator, self._hop.denominator
        first, last = (place * denominator // numerator for place in (position, position + count - 1))
        starts = -(-np.arange(first, last + 1, dtype=np.int64) * numerator // denominator) - position
        starts[0] = 0
        return first, starts


class _PerHop:
    """A value for each channel and hop that grows as hops come; 0 where none came."""

    def __init__(self) -> None:
        self._values = np.zeros((1, 1 << 12), np.float32)
        self._count = 0

    def add(self, first: int, values: NDArray[Any]) -> None:
        view = self._view(first, values)
        view += values

    def raise_to(self, first: int, values: NDArray[Any]) -> None:
        view = self._view(first, values)
        np.maximum(view, values, out=view)

    def loudest(self) -> Levels:
        loudest: Levels = self._values[:, : self._count].max(axis=0)
        return loudest

    def _view(self, first: int, values: NDArray[Any]) -> NDArray[np.float32]:
        channels, end = values.shape[0], first + values.shape[1]
        held, room = self._values.shape
        if channels > held or end > room:
            grown = np.zeros((max(channels, held), max(end * 3 // 2, room) if end > room else room), np.float32)
            grown[:held, : self._count] = self._values[:, : self._count]
            self._values = grown
        self._count = max(self._count, end)
        return self._values[:channels, first:end]
