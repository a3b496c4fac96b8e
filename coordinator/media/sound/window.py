"""A view of a track that moves forward: any stretch near the last one, with silence where there is no sound."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

import numpy as np

from coordinator.media.sound.source import Block, Samples, SoundFormat


class Window:
    """Reads a track's blocks as they are needed and forgets those that lie far behind."""

    def __init__(self, blocks: Iterator[Block], form: SoundFormat) -> None:
        self.form = form
        """Of the samples."""
        self.hold: int | None = None
        """From here on nothing is forgotten yet, however far is read; None: only the last stretch is kept."""
        self._blocks = blocks
        self._held: deque[Block] = deque()
        self._end: int | None = None
        self._ended = False

    def read(self, start: int, stop: int) -> Samples:
        """Samples `start` to `stop`, a new array."""
        self._fill(stop)
        samples = self.silence(stop - start)
        for block in self._held:
            first, last = max(start, block.position), min(stop, block.end)
            if first < last:
                samples[:, first - start : last - start] = block.between(first, last)
        self._forget(start if self.hold is None else min(start, self.hold))
        return samples

    def silence(self, count: int) -> Samples:
        """So many samples of it."""
        return np.zeros((self.form.channels, count), self.form.dtype)

    def sound_until(self, stop: int) -> int:
        """Where sound ends for good, or `stop` if there is some from there on."""
        self._fill(stop + 1)
        return min(stop, self._end or 0) if self._ended else stop

    def _fill(self, stop: int) -> None:
        while not self._ended and (self._end is None or self._end < stop):
            block = next(self._blocks, None)
            if block is None:
                self._ended = True
            elif self._end is None or block.end > self._end:
                self._add(block)

    def _add(self, block: Block) -> None:
        repeated = max(0, (self._end if self._end is not None else block.position) - block.position)
        self._held.append(Block(block.position + repeated, block.samples[:, repeated:]))
        self._end = block.end

    def _forget(self, before: int) -> None:
        while self._held and self._held[0].end <= before:
            self._held.popleft()
