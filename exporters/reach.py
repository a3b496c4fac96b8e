"""How far a model looks, measured: by what its tiles have to overlap."""

from __future__ import annotations

import numpy as np

from exporters.declaration import OUTPUT, Model

_FIELD = 97
_FIELD_SEEDS = 3


def reach_of(model: Model) -> int | None:
    """How far a change of one pixel is seen, in input pixels; None when it reaches the edge of what was tried.

    Runs the model's reference on a few small pictures. Raises ExportFailed when that fails.
    """
    compute = model.recipe.reference(model)
    height, width = model.fitting(_FIELD, _FIELD)
    row, column = height // 2, width // 2
    distance = 0
    for seed in range(_FIELD_SEEDS):
        frames = np.random.default_rng(seed).integers(64, 192, (1, height, width, 3), dtype=np.uint8)
        changed = frames.copy()
        changed[:, row, column] = np.where(frames[:, row, column] < 128, 255, 0)
        before, after = (compute(model.feeds(picture))[OUTPUT].astype(np.int16) for picture in (frames, changed))
        rows, columns = np.nonzero(np.abs(before - after).max(axis=(0, 3)))
        away = [
            np.abs(rows // model.scale - row).max(initial=0),
            np.abs(columns // model.scale - column).max(initial=0),
        ]
        distance = max(distance, *map(int, away))
    return None if distance >= min(row, column) - 1 else distance + 1
