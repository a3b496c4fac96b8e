"""Training material on disk: degraded and true sequences, made ahead by worker processes, read by memory map.

The training loop then waits for no decoder, memory stays what the system gives to its page cache, and a run that is
resumed finds its material as it was.
"""

from __future__ import annotations

import json
import multiprocessing
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from exporters.declaration import Frames
from exporters.train import clips, degrade, scenes

_DRAWN_AT_ONCE = 25


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """What the material is; the same recipe gives the same material."""

    clips: tuple[str, ...]
    """Paths of the clips that crops are taken from."""
    scale: int
    """Size of the truth / size of the degraded frames."""
    severity: degrade.Severity
    """How bad the degraded frames are."""
    sequences: int
    """How many there are in all."""
    drawn: float = 0.42
    """Part of them that is drawn by code; all, when there are no clips."""
    side: int = 80
    """Height and width of the degraded frames; even."""
    length: int = 10
    """Frames of a sequence."""
    seed: int = 0
    """What everything random is drawn from."""


@dataclass(frozen=True, slots=True)
class Material:
    """Sequences, `[sequence, frame, height, width, 3]`."""

    low: Frames
    """Degraded."""
    high: Frames
    """The truth, `scale` times as high and wide."""
    filmed: int
    """How many of them, the first ones, come from clips."""


def material(recipe: Recipe, folder: Path, workers: int) -> Iterator[int]:
    """Make what is not there yet; yields the number of sequences as they are done."""
    told = json.dumps(asdict(recipe), sort_keys=True)
    done = folder / "recipe.json"
    if done.exists() and done.read_text() == told:
        yield recipe.sequences
        return
    done.unlink(missing_ok=True)
    folder.mkdir(parents=True, exist_ok=True)
    _allocate(recipe, folder)
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        try:
            parts = [pool.submit(_fill, recipe, folder, *part) for part in _parts(recipe)]
            for part in as_completed(parts):
                yield part.result()
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise
    done.write_text(told)


def opened(recipe: Recipe, folder: Path) -> Material:
    """What `material` made."""
    low, high = (np.load(folder / f"{name}.npy", mmap_mode="r") for name in ("low", "high"))
    return Material(low, high, _filmed_sequences(recipe))


def _allocate(recipe: Recipe, folder: Path) -> None:
    for name, side in (("low", recipe.side), ("high", recipe.side * recipe.scale)):
        shape = (recipe.sequences, recipe.length, side, side, 3)
        np.lib.format.open_memmap(folder / f"{name}.npy", "w+", np.uint8, shape).flush()


def _parts(recipe: Recipe) -> list[tuple[int, int, str]]:
    """First slot, end slot and clip ("": drawn) of pieces of work; the longest come first."""
    real = _filmed_sequences(recipe)
    edges = np.linspace(0, real, len(recipe.clips) + 1).round().astype(int).tolist() if recipe.clips else [0]
    filmed = list(zip(edges[:-1], edges[1:], recipe.clips, strict=True))
    starts = range(real, recipe.sequences, _DRAWN_AT_ONCE)
    return filmed + [(start, min(start + _DRAWN_AT_ONCE, recipe.sequences), "") for start in starts]


def _filmed_sequences(recipe: Recipe) -> int:
    return round(recipe.sequences * (1 - recipe.drawn)) if recipe.clips else 0


def _fill(recipe: Recipe, folder: Path, first: int, end: int, clip: str) -> int:
    """Fill a range of slots; runs in a worker process."""
    low, high = (np.load(folder / f"{name}.npy", mmap_mode="r+") for name in ("low", "high"))
    source = _filmed(recipe, clip, end - first) if clip else _drawn(recipe, first)
    rng = np.random.default_rng((recipe.seed, first, 1))
    for slot, truth in zip(range(first, end), source, strict=False):
        high[slot] = truth
        low[slot] = degrade.apply(truth, degrade.draw(rng, recipe.scale, recipe.severity))
    return end - first


def _drawn(recipe: Recipe, first: int) -> Iterator[Frames]:
    rng = np.random.default_rng((recipe.seed, first))
    while True:
        yield scenes.draw(rng, recipe.side * recipe.scale, recipe.length)


def _filmed(recipe: Recipe, clip: str, count: int) -> Iterator[Frames]:
    """Crops without end: a clip is gone through again when it gave less than was asked for."""
    seed = recipe.seed
    while True:
        found = 0
        for found, crop in enumerate(  # noqa: B007  # used after the loop
            clips.crops_of(Path(clip), side=recipe.side * recipe.scale, length=recipe.length, count=count, seed=seed), 1
        ):
            yield crop
        if not found:
            raise ValueError(f"{clip} has fewer than {recipe.length} frames")
        seed += 1
