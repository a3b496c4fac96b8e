"""The media engine's speed: whole jobs through the real stack beside loops that have no servers.

    python scripts/media_bench.py [--clip CLIP] [--pairs 7] [--json] [--vapoursynth PYTHON]

Each pair runs every contender once, the order turned round from pair to pair; the medians of the pairs' ratios are
shown. The loops, and what each of them is, are in scripts/media_loops.py; the nets in scripts/media_models.py. The
outside runtime is VapourSynth with vs-mlrt on the same weights (scripts/vs_mlrt.py): it needs another Python, one that
has `vapoursynth`, `vapoursynth-mlrt-ort`, a source plugin and `imageio-ffmpeg`, named by --vapoursynth.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import onnx
from bench_folder import bench_folder
from media_models import ESPCN, IDENTITY, BenchModel, bare, write_repository
from meter import Meter
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from sample_clip import draw_clip

from framewire.client import Client
from framewire.client.run import ClipOrder, RunObserver, run_clip
from framewire.stack.local import LocalStack
from framewire.stack.settings import StackSettings
from framewire.steps.parse import parse_step

HERE = Path(__file__).resolve().parent
SHARE_OF_FILES = 5
"""The loop over PNG files runs on a clip this many times shorter: it takes minutes otherwise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What one contender took for one clip."""

    frames: int
    wall: float
    cpu: float
    """Seconds of all its processes."""
    first: float = 0.0
    """Seconds from the job's creation to its first decoded frame; 0 where there is no job."""

    @property
    def per_frame(self) -> float:
        """Seconds of wall time."""
        return self.wall / self.frames


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """A ratio of wall times a frame, and what it should be at most."""

    name: str
    run: str
    to: str
    most: float


GOALS = (
    Goal(name="job / threaded loop, ESPCN", run="job espcn", to="threaded espcn", most=1.10),
    Goal(name="job / threaded loop, identity", run="job identity", to="threaded identity", most=1.35),
    Goal(name="job / naive loop, ESPCN", run="job espcn", to="naive espcn", most=0.70),
    Goal(name="job / PNG files, ESPCN", run="job espcn", to="files espcn", most=0.25),
    Goal(name="job / VapourSynth and vs-mlrt, ESPCN", run="job espcn", to="vs-mlrt espcn", most=0.85),
)


class Bench:
    """Everything that is timed, by name."""

    def __init__(self, folder: Path, clip: Path, short: Path, stack: LocalStack, vapoursynth: Path | None) -> None:
        self._folder = folder
        self._stack = stack
        espcn, identity = (folder / "models" / model.name / "1" / "model.onnx" for model in (ESPCN, IDENTITY))
        body = folder / "bare.onnx"
        onnx.save(bare(ESPCN), str(body))
        self.contenders: Mapping[str, Callable[[], Awaitable[Run]]] = {
            "job espcn": lambda: self._job(clip, ESPCN),
            "threaded espcn": lambda: self._loop("threaded", clip, espcn),
            "naive espcn": lambda: self._loop("naive", clip, body),
            "job identity": lambda: self._job(clip, IDENTITY),
            "threaded identity": lambda: self._loop("threaded", clip, identity),
            "files espcn": lambda: self._loop("files", short, body),
        }
        if vapoursynth:
            script = [str(vapoursynth), str(HERE / "vs_mlrt.py")]
            self.contenders = {**self.contenders, "vs-mlrt espcn": lambda: self._child(script, clip, body)}

    async def _job(self, clip: Path, model: BenchModel) -> Run:
        services = {service.name: service.pid for service in self._stack.state.services if service.pid}
        step = parse_step(f"{'enhance' if model.scale > 1 else 'denoise'}:model={model.name}")
        order = ClipOrder(clip=clip, steps=[step], output=self._folder / "job.mp4")
        async with Client(self._stack.state.grpc) as client:
            with Meter(services, self._stack.folder.root).processor_time() as usage:
                began = time.perf_counter()
                job = await run_clip(client, order, RunObserver())
                wall = time.perf_counter() - began
        return Run(frames=job.fidelity.frames_out, wall=wall, cpu=usage.cpu)

    async def _loop(self, name: str, clip: Path, model: Path) -> Run:
        return await self._child([sys.executable, str(HERE / "media_loops.py"), name], clip, model)

    async def _child(self, command: Sequence[str], clip: Path, model: Path) -> Run:
        arguments = (str(clip), str(self._folder / "loop.mp4"), str(model))
        child = await asyncio.create_subprocess_exec(*command, *arguments, stdout=asyncio.subprocess.PIPE)
        said, _ = await child.communicate()
        if child.returncode:
            raise RuntimeError(f"{' '.join(command)} ended with {child.returncode}")
        return Run(**json.loads(said.splitlines()[-1]))


async def measure(bench: Bench, pairs: int, tick: Callable[[str], None]) -> dict[str, list[Run]]:
    """So many rounds after one that does not count, the order turned round from one to the next."""
    runs: dict[str, list[Run]] = {name: [] for name in bench.contenders}
    for number in range(pairs + 1):
        names = list(bench.contenders)
        for name in names if number % 2 else reversed(names):
            tick(name)
            run = await bench.contenders[name]()
            if number:
                runs[name].append(run)
    return runs


def summary(runs: Mapping[str, Sequence[Run]]) -> dict[str, object]:
    """Medians, and the ratios the goals ask for."""
    cores = len(os.sched_getaffinity(0))
    contenders = {
        name: {
            "wall_s": statistics.median(run.wall for run in each),
            "cpu_s": statistics.median(run.cpu for run in each),
            "frames": each[0].frames,
            "efficiency": statistics.median(run.cpu / run.wall / cores for run in each),
        }
        for name, each in runs.items()
    }
    ratios = [
        {"goal": goal.name, "most": goal.most, "ratio": _ratio(runs[goal.run], runs[goal.to])}
        for goal in GOALS
        if goal.to in runs
    ]
    return {"cores": cores, "rounds": len(next(iter(runs.values()))), "contenders": contenders, "ratios": ratios}


def _ratio(job: Sequence[Run], other: Sequence[Run]) -> float:
    return statistics.median(a.per_frame / b.per_frame for a, b in zip(job, other, strict=True))


def show(result: dict[str, object], console: Console) -> None:
    """The summary for people."""
    table = Table(box=None, pad_edge=False)
    for heading in ("contender", "frames", "wall s", "CPU s", "CPU / (cores x wall)"):
        table.add_column(heading, justify="left" if heading == "contender" else "right")
    for name, facts in dict(result["contenders"]).items():  # type: ignore[call-overload]  # it is a mapping
        numbers = (f"{facts['wall_s']:.1f}", f"{facts['cpu_s']:.1f}", f"{facts['efficiency']:.2f}")
        table.add_row(name, str(facts["frames"]), *numbers)
    console.print(table)
    goals = Table(box=None, pad_edge=False)
    for heading in ("wall time a frame", "goal", "measured", ""):
        goals.add_column(heading)
    for each in list(result["ratios"]):  # type: ignore[call-overload]  # it is a list
        met = "met" if each["ratio"] <= each["most"] else "not met"
        goals.add_row(each["goal"], f"<= {each['most']:.2f}", f"{each['ratio']:.2f}", met)
    console.print(goals)


async def bench(arguments: argparse.Namespace, folder: Path, console: Console) -> dict[str, object]:
    """Start the stack, measure, stop it."""
    clip, short = arguments.clip or folder / "clip.mp4", folder / "short.mp4"
    seconds = arguments.frames / 30
    if not arguments.clip:
        draw_clip(clip, seconds=seconds, width=640, height=360, fps=30)
    draw_clip(short, seconds=seconds / SHARE_OF_FILES, width=640, height=360, fps=30)
    write_repository(folder / "models")
    settings = StackSettings(data=folder / "data", models=folder / "models", environment=os.environ)
    async with LocalStack(settings) as stack:
        timed = Bench(folder, clip, short, stack, arguments.vapoursynth)
        with Progress(console=console, transient=True) as progress:
            task = progress.add_task("", total=(arguments.pairs + 1) * len(timed.contenders))

            def tick(name: str) -> None:
                progress.update(task, advance=1, description=name)

            return summary(await measure(timed, arguments.pairs, tick))


def main() -> int:
    """0 when everything ran, whatever came out."""
    parser = argparse.ArgumentParser(description="Whole jobs beside loops without servers.")
    parser.add_argument("--clip", type=Path, help="a clip of your own; 900 frames of 640x360 are drawn otherwise")
    parser.add_argument("--frames", type=int, default=900, help="frames of the drawn clip (900)")
    parser.add_argument("--pairs", type=int, default=3, help="rounds that count (3)")
    parser.add_argument("--vapoursynth", type=Path, metavar="PYTHON", help="a Python with VapourSynth and vs-mlrt")
    parser.add_argument("--json", action="store_true", help="one JSON object")
    arguments = parser.parse_args()
    console = Console(highlight=False, stderr=arguments.json)
    with bench_folder() as folder:
        result = asyncio.run(bench(arguments, folder, console))
    if arguments.json:
        print(json.dumps(result))
    else:
        show(result, console)
    return 0


if __name__ == "__main__":
    sys.exit(main())
