"""`framewire bench`."""

from __future__ import annotations

import contextlib
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import click
from rich.table import Table

from framewire.cli.files import check_input
from framewire.cli.options import connection_options, output_options, read_steps, step_option
from framewire.cli.progress import RunView
from framewire.cli.run import gateway_address
from framewire.cli.running import run_async
from framewire.cli.screen import Screen
from framewire.client import Client
from framewire.client.run import ClipOrder, run_clip
from framewire.v1.asset_pb2 import Asset
from framewire.v1.job_pb2 import Event, Job, OutputSettings, Usage


@click.command("bench")
@click.argument("clip", type=click.Path(path_type=Path))
@step_option
@output_options
@click.option(
    "--runs",
    type=click.IntRange(1, 100),
    default=3,
    show_default=True,
    help="Runs that count, after one that does not.",
)
@connection_options
def command(
    clip: Path,
    steps: tuple[str, ...],
    settings: OutputSettings,
    runs: int,
    server: str | None,
    data: Path | None,
    as_json: bool,
) -> None:
    """Run the steps on CLIP several times and show where the time of one frame goes. Results are thrown away.

    Parts of the work run side by side, so their times add up to more than the whole. `model` is the way to the model
    server and back, the wait for its turn there, and the model.

    \b
    Examples:
      framewire bench in.mp4 --step enhance:scale=2
      framewire bench in.mp4 --step denoise --step enhance --runs 7 --json
    """
    check_input(clip)
    run_async(_bench(clip, steps, settings, runs, server, data, Screen(as_json=as_json)))


@dataclass(kw_only=True)
class Lap:
    """One run: seconds of each part of the way, and what the runner says of itself."""

    parts: dict[str, float] = field(default_factory=dict)
    usage: Usage = field(default_factory=Usage)
    wall: float = 0.0
    frames: int = 0


class Stopwatch(RunView):
    """Notes when a run comes from one part of its way to the next."""

    def __init__(self, screen: Screen, clock: Callable[[], float] = time.perf_counter) -> None:
        super().__init__(screen)
        self._clock = clock
        self._part = "create"
        self._since = self.began = clock()
        self.parts: dict[str, float] = {}

    def enter(self, part: str) -> None:
        """From now on this part takes the time."""
        if part != self._part:
            now = self._clock()
            self.parts[self._part] = self.parts.get(self._part, 0.0) + now - self._since
            self._part, self._since = part, now

    def created(self, job: Job) -> None:
        """Now the clip is sent."""
        self.enter("upload")
        super().created(job)

    def uploaded(self, asset: Asset) -> None:
        """Now it waits for a worker."""
        self.enter("queue")
        super().uploaded(asset)

    def event(self, event: Event) -> None:
        """The worker says what it does."""
        if event.HasField("progress"):
            self.enter(event.progress.stage or "process")
        super().event(event)

    def downloading(self, done: int, total: int) -> None:
        """Now the result is read."""
        self.enter("download")
        super().downloading(done, total)


async def _bench(
    clip: Path,
    steps: tuple[str, ...],
    settings: OutputSettings,
    runs: int,
    server: str | None,
    data: Path | None,
    screen: Screen,
) -> None:
    laps = []
    async with contextlib.AsyncExitStack() as stack:
        address = server or await gateway_address(data, screen, stack)
        client = await stack.enter_async_context(Client(address))
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="framewire-bench-"))
        order = ClipOrder(clip=clip, steps=read_steps(steps), output=Path(folder) / "result", settings=settings)
        for number in range(runs + 1):
            lap = await _lap(client, order, screen)
            if number:
                laps.append(lap)
    for lap in laps:
        screen.record({"lap": _record(lap)})
    screen.words(_table(laps))


async def _lap(client: Client, order: ClipOrder, screen: Screen) -> Lap:
    watch = Stopwatch(screen)
    with watch:
        job = await run_clip(client, order, watch)
    watch.enter("end")
    wall = sum(watch.parts.values())
    return Lap(parts=watch.parts, usage=job.fidelity.usage, wall=wall, frames=job.fidelity.frames_out)


def _record(lap: Lap) -> dict[str, object]:
    inside = {part.name: part.seconds for part in lap.usage.parts}
    return {
        "frames": lap.frames,
        "seconds": lap.wall,
        "parts": lap.parts,
        "process": inside,
        "cpu": lap.usage.cpu_seconds,
    }


def _table(laps: Sequence[Lap]) -> Table:
    """Medians, in milliseconds a frame."""
    table = Table(box=None, pad_edge=False)
    for heading, side in (("part", "left"), ("ms a frame", "right"), ("seconds", "right")):
        table.add_column(heading, justify=side)  # type: ignore[arg-type]  # one of rich's words
    frames = max(1, laps[0].frames)

    def row(name: str, seconds: Sequence[float]) -> None:
        middle = statistics.median(seconds)
        table.add_row(name, f"{1000 * middle / frames:.2f}", f"{middle:.2f}")

    for name in laps[0].parts:
        row(name, [lap.parts.get(name, 0.0) for lap in laps])
        if name == "process":
            for index, part in enumerate(laps[0].usage.parts):
                row(f"  {part.name}", [lap.usage.parts[index].seconds for lap in laps if len(lap.usage.parts) > index])
    row("all", [lap.wall for lap in laps])
    row("runner, processor", [lap.usage.cpu_seconds for lap in laps])
    return table
