"""From one sample rate to a lower one, block by block, well enough to tell speech."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from numpy.typing import NDArray

_Mono = NDArray[np.float32]


class Resampler:
    """One channel; blocks that follow each other."""

    def __init__(self, rate: int, wanted: int) -> None:
        self._rate = rate
        self._wanted = wanted
        self._swr = None if rate == wanted else AudioResampler("fltp", "mono", wanted)

    def place(self, position: int) -> int:
        """Where a sample comes to lie."""
        return round(position * Fraction(self._wanted, self._rate))

    def convert(self, samples: _Mono) -> _Mono:
        """A block; its end may come with the next one."""
        if self._swr is None:
            return samples.copy()
        frame = AudioFrame.from_ndarray(np.ascontiguousarray(samples)[None], format="fltp", layout="mono")
        frame.sample_rate = self._rate
        made = [piece.to_ndarray()[0] for piece in self._swr.resample(frame)]
        return np.concatenate([*made, np.zeros(0, np.float32)])
