"""Two models of a repository side by side: in one process, in turn, so that what else the machine does hits both."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np

from exporters.card import Card
from exporters.declaration import Tensors
from exporters.engine import GRAPH
from exporters.errors import ExportFailed
from exporters.folder import read_folder
from exporters.parity import session
from exporters.progress import Progress, silent

_LEAST_PAIRS = 5
_SECONDS = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """One run, or the median of many, in milliseconds a frame."""

    ms: float
    """By the clock."""
    cpu_ms: float
    """Of processors, all threads together: the same when others are busy, too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Race:
    """Two models on the same frames."""

    width: int
    height: int
    batch: int
    threads: int
    pairs: int
    first: Taken
    second: Taken
    speedup: float
    """How many times as fast the second one is, by the clock; median over pairs."""
    cpu_speedup: float
    """The same by processor time."""

    def record(self) -> Card:
        """For JSON."""
        return asdict(self)


def race(
    first: Path,
    second: Path,
    *,
    sizes: Sequence[tuple[int, int]],
    batches: Sequence[int] = (1,),
    threads: Sequence[int] = (),
    progress: Progress = silent,
) -> list[Race]:
    """Time two model folders for each size, batch and number of threads, by default one and as many as there are cores.

    Raises ExportFailed when a folder is no model or cannot be run, or does not take the batch.
    """
    threads = threads or sorted({1, len(os.sched_getaffinity(0))})
    found = []
    for count in threads:
        for size in sizes:
            for batch in batches:
                with progress.stage(f"{first.name}, {second.name}: {size[1]}x{size[0]}, threads: {count}"):
                    found.append(_race(first, second, size, batch, count))
    return found


def _race(first: Path, second: Path, size: tuple[int, int], batch: int, threads: int) -> Race:
    runs = [_runner(folder, size, batch, threads) for folder in (first, second)]
    for run in runs:
        run()
    pairs: list[tuple[Taken, Taken]] = []
    until = time.monotonic() + _SECONDS
    while len(pairs) < _LEAST_PAIRS or time.monotonic() < until:
        order = (0, 1) if len(pairs) % 2 else (1, 0)
        taken = {place: _timed(runs[place], batch) for place in order}
        pairs.append((taken[0], taken[1]))
    return Race(
        width=size[1],
        height=size[0],
        batch=batch,
        threads=threads,
        pairs=len(pairs),
        first=_median([pair[0] for pair in pairs]),
        second=_median([pair[1] for pair in pairs]),
        speedup=statistics.median(a.ms / b.ms for a, b in pairs),
        cpu_speedup=statistics.median(a.cpu_ms / b.cpu_ms for a, b in pairs),
    )


def _runner(folder: Path, size: tuple[int, int], batch: int, threads: int) -> Callable[[], Tensors]:
    model, _ = read_folder(folder)
    if batch > model.max_batch:
        raise ExportFailed(f"{model.name} takes {model.max_batch} frames at a time, not {batch}")
    frames = np.random.default_rng(0).integers(0, 256, (batch, *model.fitting(*size), 3), dtype=np.uint8)
    return partial(session((folder / GRAPH).read_bytes(), threads=threads), model.feeds(frames))


def _timed(run: Callable[[], Tensors], batch: int) -> Taken:
    clock, processors = time.perf_counter(), time.process_time()
    run()
    taken = time.perf_counter() - clock, time.process_time() - processors
    return Taken(ms=1000 * taken[0] / batch, cpu_ms=1000 * taken[1] / batch)


def _median(runs: Sequence[Taken]) -> Taken:
    return Taken(ms=statistics.median(run.ms for run in runs), cpu_ms=statistics.median(run.cpu_ms for run in runs))
