"""Whether somebody speaks, hop by hop of a track."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from coordinator.media.levels import Levels, Samples
from coordinator.media.resample import Resampler
from coordinator.speech.network import CHUNK, CONTEXT, FEATURES, RATE, network

_BATCH = 64
"""Chunks that are encoded at once: two seconds."""
_WINDOW = 18_432
"""Chunks whose features are held, about ten minutes: nine megabytes."""
_WARM = 125
"""Chunks before a stretch that bring the network's memory up to it: four seconds."""
_STRETCH = 250
"""Least chunks of a stretch."""
_SIDE_BY_SIDE = 32
_LONG = 4 * _WARM * CHUNK
"""Samples of a gap whose silence need not be calculated to its end."""


class SpeechMeter:
    """Measures blocks of samples. Memory: some thirty megabytes, and four bytes for each 32 ms."""

    def __init__(self, rate: int) -> None:
        self._resampler = Resampler(rate, RATE)
        self._samples = np.zeros(CONTEXT, np.float32)  # what comes before the first sample is silence
        self._next = 0
        self._features: list[NDArray[np.float32]] = []
        self._held = 0
        self._before = np.zeros((_WARM, FEATURES), np.float32)
        self._answers: list[NDArray[np.float32]] = []

    def take(self, position: int, samples: Samples) -> None:
        """Samples from this place on, counted from the film's first picture; what lies before it is not measured."""
        samples, position = samples[:, max(0, -position) :], max(0, position)
        if not samples.shape[1]:
            return
        mono = samples[0] if len(samples) == 1 else samples.mean(axis=0)
        made = self._resampler.convert(mono)
        gap = self._resampler.place(position) - self._next
        if gap > CHUNK:
            self._next += gap
            self._be_silent(gap)
        self._next += len(made)
        self._feed(made)

    def by_hop(self, hop: Fraction) -> Levels:
        """The probability of speech in the middle of each hop, up to the last with sound."""
        self._finish()
        answers = np.concatenate([*self._answers, np.zeros(0, np.float32)])
        hops = int(len(answers) * CHUNK / RATE / hop)
        middles = (np.arange(hops) + 0.5) * float(hop) * RATE / CHUNK
        by_hop: Levels = answers[middles.astype(np.int64).clip(0, max(0, len(answers) - 1))]
        return by_hop

    def _be_silent(self, samples: int) -> None:
        """So much silence. Of a long one the network hears the beginning, then it has forgotten what was before."""
        if samples > _LONG:
            heard = -(len(self._samples) - CONTEXT) % CHUNK + _WARM * CHUNK
            self._feed(np.zeros(heard, np.float32), all_of_it=True)
            self._recur()
            unheard = (samples - heard) // CHUNK
            self._answers.append(np.zeros(unheard, np.float32))
            samples -= heard + unheard * CHUNK
        self._feed(np.zeros(samples, np.float32))

    def _finish(self) -> None:
        rest = len(self._samples) - CONTEXT
        if rest:
            self._feed(np.zeros(-rest % CHUNK, np.float32), all_of_it=True)
        self._recur()

    def _feed(self, samples: NDArray[np.float32], *, all_of_it: bool = False) -> None:
        self._samples = np.concatenate([self._samples, samples])
        while (chunks := min((len(self._samples) - CONTEXT) // CHUNK, _BATCH)) >= (1 if all_of_it else _BATCH):
            self._features.append(network().encode(self._samples[: CONTEXT + chunks * CHUNK]))
            self._samples = self._samples[chunks * CHUNK :]
            self._held += chunks
            if self._held >= _WINDOW:
                self._recur()

    def _recur(self) -> None:
        """Answers for the features that are held, in stretches side by side, each warmed up by what lies before."""
        if not self._held:
            return
        features = np.concatenate([self._before, *self._features])
        length = max(_STRETCH, -(-self._held // _SIDE_BY_SIDE))
        starts = range(0, self._held, length)
        rows = np.zeros((_WARM + length, len(starts), FEATURES), np.float32)
        for place, start in enumerate(starts):
            piece = features[start : start + _WARM + length]
            rows[: len(piece), place] = piece
        self._answers.append(network().recur(rows)[_WARM:].T.reshape(-1)[: self._held])
        self._before, self._features, self._held = features[-_WARM:], [], 0
