"""How fast a model of a repository is here: by batch and size, in this process and through Triton."""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np

from exporters.card import Card, save_card
from exporters.declaration import Frames, Model, Tensors
from exporters.engine import GRAPH
from exporters.folder import read_folder
from exporters.parity import session
from exporters.progress import Progress, silent
from exporters.serving import serve
from exporters.shared_memory import SharedRequest

SIZES = ((360, 640), (720, 1280))
_LEAST_RUNS = 3
_SECONDS = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Speed:
    """One batch of one size, one way."""

    where: str
    """`in process`, `Triton, shared memory` or `Triton, gRPC`."""
    width: int
    height: int
    batch: int
    ms: float
    """A batch, median, milliseconds."""

    @property
    def ms_per_megapixel(self) -> float:
        """Of input."""
        return self.ms / (self.batch * self.height * self.width / 1e6)

    def record(self) -> Card:
        """For the card."""
        return {**asdict(self), "ms_per_megapixel": round(self.ms_per_megapixel, 2)}


def bench(
    folder: Path, *, sizes: Sequence[tuple[int, int]] = SIZES, batches: Sequence[int] = (), progress: Progress = silent
) -> list[Speed]:
    """Time every batch and size in each way, the ways in turn, so that what else the machine does hits all alike.

    Raises ExportFailed when the folder is no model or cannot be run.
    """
    model, _ = read_folder(folder)
    inside = session((folder / GRAPH).read_bytes())
    found: list[Speed] = []
    with serve(folder.parent, model.name) as served:
        for (height, width), batch in _cases(model, sizes, batches):
            with progress.stage(f"{model.name}: {width}x{height}, batch {batch}"):
                feeds = model.feeds(_picture(batch, height, width))
                with SharedRequest(served, model, feeds) as shared:
                    ways: dict[str, Callable[[], Tensors]] = {
                        "in process": partial(inside, feeds),
                        "Triton, shared memory": shared.run,
                        "Triton, gRPC": partial(served.run, model.name, feeds),
                    }
                    found.extend(
                        Speed(where=where, width=width, height=height, batch=batch, ms=ms)
                        for where, ms in _time(ways).items()
                    )
    return found


def write_speed(folder: Path, speeds: Sequence[Speed]) -> None:
    """Put the numbers into the model's card, with the machine they hold for."""
    _, card = read_folder(folder)
    card["speed"] = {"machine": machine(), "measured": [speed.record() for speed in speeds]}
    save_card(folder, card)


def machine() -> str:
    """The processor and how many cores of it: `Xeon ..., 2 cores`."""
    names = (line.partition(":")[2].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name"))
    return f"{next(names, platform.machine())}, {len(os.sched_getaffinity(0))} cores"


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text().splitlines()
    except OSError:
        return []


def _cases(
    model: Model, sizes: Sequence[tuple[int, int]], batches: Sequence[int]
) -> Iterator[tuple[tuple[int, int], int]]:
    wanted = batches or sorted({1, model.max_batch})
    fitted = dict.fromkeys(model.fitting(*size) for size in sizes)
    return ((size, batch) for size in fitted for batch in wanted if batch <= model.max_batch)


def _picture(batch: int, height: int, width: int) -> Frames:
    return np.random.default_rng(0).integers(0, 256, (batch, height, width, 3), dtype=np.uint8)


def _time(ways: dict[str, Callable[[], Tensors]]) -> dict[str, float]:
    """Milliseconds, median over interleaved runs; the first run of each is not counted."""
    taken: dict[str, list[float]] = {where: [] for where in ways}
    for run in ways.values():
        run()
    deadline = time.monotonic() + _SECONDS * len(ways)
    while len(taken[next(iter(ways))]) < _LEAST_RUNS or time.monotonic() < deadline:
        for where, run in ways.items():
            started = time.perf_counter()
            run()
            taken[where].append(1000 * (time.perf_counter() - started))
        if sum(map(sum, taken.values())) > 1000 * _SECONDS * len(ways) and len(taken["in process"]) >= _LEAST_RUNS:
            break
    return {where: statistics.median(times) for where, times in taken.items()}
