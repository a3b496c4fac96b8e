"""Proof that an exported graph computes what its reference computes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnxruntime as ort

from exporters.declaration import INPUT, OUTPUT, Frames, Model, Tolerance

# one pixel, tiny, odd, prime, wide, tall, and a real picture's proportions
SHAPES = ((1, 1, 1), (1, 2, 1), (2, 1, 3), (1, 3, 5), (3, 8, 8), (1, 17, 33), (2, 31, 7), (1, 5, 129), (1, 90, 160))
SEEDS = (0, 1, 2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parity:
    """How far a graph is from its reference over all that was tried."""

    levels: int
    """Largest difference in grey levels."""
    exact: float
    """Part of the values that are equal, 0 to 1."""
    values: int
    """How many were compared."""

    def within(self, tolerance: Tolerance) -> bool:
        """Whether that is near enough."""
        return self.levels <= tolerance.levels and self.exact >= tolerance.exact


def measure(model: Model, graph: bytes) -> Parity:
    """Run the graph and the reference on noise, flat areas and edges of many sizes.

    Raises ValueError when the graph's result has not the reference's shape.
    """
    session = ort.InferenceSession(graph, providers=["CPUExecutionProvider"])
    worst = unequal = values = 0
    for frames in _samples(model.size_multiple):
        result = session.run([OUTPUT], {INPUT: frames})[0]
        expected = model.reference(frames)
        if result.shape != expected.shape:
            raise ValueError(f"{model.name}: {frames.shape} gives {result.shape}, not {expected.shape}")
        difference = np.abs(result.astype(np.int16) - expected.astype(np.int16))
        worst = max(worst, int(difference.max()))
        unequal += int(np.count_nonzero(difference))
        values += difference.size
    return Parity(levels=worst, exact=1 - unequal / values, values=values)


def _samples(size_multiple: int) -> list[Frames]:
    return [
        _picture(np.random.default_rng(seed), batch, height * size_multiple, width * size_multiple)
        for seed in SEEDS
        for batch, height, width in SHAPES
    ]


def _picture(rng: np.random.Generator, batch: int, height: int, width: int) -> Frames:
    """Noise, with black and white in it: overshoot at their edges has to be clamped."""
    noise = rng.integers(0, 256, (batch, height, width, 3), dtype=np.uint8)
    extreme = np.where(rng.random((batch, height, width, 1)) < 0.5, np.uint8(0), np.uint8(255))
    return np.where(rng.random((batch, height, width, 1)) < 0.3, extreme, noise).astype(np.uint8)
