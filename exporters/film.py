"""A whole clip through a model: batches, sizes it takes, and what it remembers."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from exporters.declaration import OUTPUT, Frames, Model, Reference


def enhance(model: Model, run: Reference, frames: Frames) -> Frames:
    """Every frame of a clip, `[time, height, width, 3]`, in order; edges are repeated up to a size the model takes."""
    _, height, width, _ = frames.shape
    rows, columns = model.fitting(height, width)
    padded = np.pad(frames, ((0, 0), (0, rows - height), (0, columns - width), (0, 0)), mode="edge")
    states: dict[str, NDArray[Any]] = {}
    results = []
    for start in range(0, len(padded), model.max_batch):
        given = run(model.feeds(padded[start : start + model.max_batch]) | states)
        states = {state.input: given[state.output] for state in model.state}
        results.append(given[OUTPUT][:, : height * model.scale, : width * model.scale])
    return np.concatenate(results)
