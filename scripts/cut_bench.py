"""Cutting silence beside the tools people use: `make bench-cut`.

    python scripts/cut_bench.py [--clip CLIP] [--speech WAV] [--pairs 7] [--tools FOLDER] [--json]

Each round runs every contender once, the order turned round from round to round; medians of the rounds' ratios are
shown. Everything cuts the same ranges, those our step finds with its defaults; auto-editor finds its own, with defaults
that are the same. What each contender is stands in scripts/cut_loops.py, where the tools come from in
scripts/cut_tools.py, and what is looked at in the results in scripts/cut_check.py.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import av
from cut_check import Kept, check
from cut_loops import read_ranges
from cut_speech import compare
from cut_tools import Tools, make_tools
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from sample_pauses import draw_pauses, repeat_film

from framewire.client import Client
from framewire.client.run import ClipOrder, RunObserver, run_clip
from framewire.errors import FramewireError
from framewire.stack.local import LocalStack
from framewire.stack.settings import StackSettings
from framewire.steps.parse import parse_step

HERE = Path(__file__).resolve().parent
LONG = 1800
"""Seconds of the film whose detection is timed: the clip, repeated."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What one contender took for one clip."""

    wall: float
    """Seconds of the whole process, its start included; of a job from the first byte sent to the last received."""
    engine: float
    """Seconds of the work alone; the same as `wall` where a tool does not tell."""
    cpu: float
    """Seconds of its processes; 0 for a job."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """A ratio of times, and what it should be at most."""

    name: str
    run: str
    to: str
    part: Callable[[Run], float]
    most: float


GOALS = (
    Goal(name="cut / smartcut, the work alone", run="cut", to="smartcut", part=lambda run: run.engine, most=0.6),
    Goal(
        name="detect and cut / auto-editor, whole processes",
        run="silence",
        to="auto-editor",
        part=lambda run: run.wall,
        most=0.2,
    ),
)
LEAST_SPEED = 1000
"""Times real time, of detection."""
MOST_DISAGREEMENT = 0.03
"""Share of the time in which our speech detector and silero-vad do not say the same."""


class Bench:
    """Everything that is timed, by name."""

    def __init__(self, clip: Path, folder: Path, tools: Tools) -> None:
        self.clip = clip
        self._folder = folder
        self._tools = tools
        self.keep = json.dumps(
            _child([sys.executable, str(HERE / "cut_loops.py"), "detect", str(clip), "-", "[]"])["keep"]
        )
        contenders = {name: self._loop(name, sys.executable) for name in ("copy", "cut", "silence")}
        if tools.smartcut:
            contenders["smartcut"] = self._loop("smartcut", str(tools.smartcut))
        if tools.auto_editor:
            contenders["auto-editor"] = self._auto_editor
        self.contenders: Mapping[str, Callable[[], Run]] = contenders

    def result(self, name: str) -> Path:
        """Where a contender puts what it made."""
        return self._folder / f"{name}.mp4"

    def _loop(self, name: str, python: str) -> Callable[[], Run]:
        command = [python, str(HERE / "cut_loops.py"), name, str(self.clip), str(self.result(name)), self.keep]
        return lambda: _timed(command)

    def _auto_editor(self) -> Run:
        commands = self._tools.auto_editor
        target = str(self.result("auto-editor"))
        quiet = ("--no-open", "--progress", "none", "--my-ffmpeg")
        return _timed([f"{commands}/auto-editor", str(self.clip), "-o", target, *quiet], path=f"{commands}")


def _timed(command: Sequence[str], *, path: str = "") -> Run:
    """Run to its end; processor time is that of all its processes."""
    environment = {**os.environ, "PATH": f"{path}:{os.environ['PATH']}"} if path else None
    began = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment) as child:
        said = child.stdout.read() if child.stdout else b""
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
    wall = time.perf_counter() - began
    if child.returncode:
        raise RuntimeError(f"{command[0]} ended with {child.returncode}: {' '.join(command)}")
    lines = said.splitlines()
    told = json.loads(lines[-1]) if lines and lines[-1].startswith(b"{") else {}
    return Run(wall=wall, engine=told.get("wall", wall), cpu=usage.ru_utime + usage.ru_stime)


def _child(command: Sequence[str]) -> dict[str, object]:
    told: dict[str, object] = json.loads(subprocess.check_output(command).splitlines()[-1])
    return told


def measure(bench: Bench, pairs: int, tick: Callable[[str], None]) -> dict[str, list[Run]]:
    """So many rounds after one that does not count, the order turned round from one to the next."""
    runs: dict[str, list[Run]] = {name: [] for name in bench.contenders}
    for number in range(pairs + 1):
        names = list(bench.contenders)
        for name in names if number % 2 else reversed(names):
            tick(name)
            run = bench.contenders[name]()
            if number:
                runs[name].append(run)
    return runs


async def jobs(clip: Path, folder: Path, pairs: int) -> dict[str, list[Run]]:
    """Whole jobs through the real stack, one that copies and one that encodes everything, in turn."""
    runs: dict[str, list[Run]] = {"job": [], "job, all encoded": []}
    texts = {"job": "cut_silence", "job, all encoded": "cut_silence:smart=false"}
    settings = StackSettings(data=folder / "data", environment=os.environ)
    async with LocalStack(settings) as stack, Client(stack.state.grpc) as client:
        for number in range(pairs + 1):
            for name in runs if number % 2 else reversed(runs):
                order = ClipOrder(clip=clip, steps=[parse_step(texts[name])], output=folder / f"{name}.mp4")
                began = time.perf_counter()
                await run_clip(client, order, RunObserver())
                wall = time.perf_counter() - began
                if number:
                    runs[name].append(Run(wall=wall, engine=wall, cpu=0.0))
    return runs


def summary(bench: Bench, runs: Mapping[str, Sequence[Run]]) -> dict[str, object]:
    """Medians, the ratios the goals ask for, and what is in the results."""
    keep = read_ranges(bench.keep)
    looked = {name: check(bench.clip, bench.result(name), keep) for name in runs if name not in ("copy",)}
    contenders = {
        name: {
            "engine_s": statistics.median(run.engine for run in each),
            "wall_s": statistics.median(run.wall for run in each),
            "cpu_s": statistics.median(run.cpu for run in each),
            **(_looked(looked[name]) if name in looked else {}),
        }
        for name, each in runs.items()
    }
    goals = [
        {
            "goal": goal.name,
            "bound": f"<= {goal.most:g}",
            "is": round(value := _ratio(runs, goal), 3),
            "met": value <= goal.most,
        }
        for goal in GOALS
        if goal.to in runs
    ]
    share = looked["cut"].share
    goals.append(
        {
            "goal": "packets outside cut groups of pictures, unchanged",
            "bound": "100 %",
            "is": share,
            "met": share == 1.0,
        }
    )
    return {"cores": len(os.sched_getaffinity(0)), "contenders": contenders, "goals": goals}


def _looked(kept: Kept) -> dict[str, object]:
    return {"frames": f"{kept.frames} of {kept.wanted}", "unchanged": kept.share}


def _ratio(runs: Mapping[str, Sequence[Run]], goal: Goal) -> float:
    pairs = zip(runs[goal.run], runs[goal.to], strict=True)
    return statistics.median(goal.part(one) / goal.part(other) for one, other in pairs)


def detection(clip: Path, folder: Path, pairs: int) -> dict[str, object]:
    """How many times faster than real time a long film is looked through."""
    long = repeat_film(clip, folder / "long.mp4", seconds=LONG)
    with av.open(str(long)) as film:
        seconds = (film.duration or 0) / av.time_base
    walls: dict[str, list[float]] = {"detect": [], "decode": []}
    for _ in range(pairs):
        for name, each in walls.items():
            each.append(_timed([sys.executable, str(HERE / "cut_loops.py"), name, str(long), "-", "[]"]).engine)
    speed, limit = (seconds / statistics.median(walls[name]) for name in ("detect", "decode"))
    return {
        "goal": f"detection by level, {seconds / 60:.0f} min (decoding its sound alone: {limit:.0f} x)",
        "bound": f">= {LEAST_SPEED} x real time",
        "is": round(speed),
        "met": speed >= LEAST_SPEED,
    }


def speech(wav: Path, tools: Tools) -> dict[str, object]:
    """How often our speech detector and silero-vad differ."""
    assert tools.silero is not None  # noqa: S101 - asked before
    found = compare(wav, tools.silero)
    return {
        "goal": f"speech, other than silero-vad ({found.ours:.0f} x real time; it {found.theirs:.0f} x)",
        "bound": f"<= {MOST_DISAGREEMENT:g} of time",
        "is": round(found.share, 4),
        "met": found.share <= MOST_DISAGREEMENT,
    }


def show(result: Mapping[str, object], console: Console) -> None:
    """For people."""
    table = Table(box=None, pad_edge=False)
    for heading in ("contender", "work s", "wall s", "CPU s", "frames", "unchanged"):
        table.add_column(heading, justify="left" if heading == "contender" else "right")
    for name, facts in dict(result["contenders"]).items():  # type: ignore[call-overload]  # it is a mapping
        numbers = (f"{facts[key]:.2f}" if facts[key] else "" for key in ("engine_s", "wall_s", "cpu_s"))
        unchanged = f"{facts['unchanged']:.1%}" if "unchanged" in facts else ""
        table.add_row(name, *numbers, str(facts.get("frames", "")), unchanged)
    console.print(table)
    goals = Table(box=None, pad_edge=False)
    for heading in ("", "goal", "measured", ""):
        goals.add_column(heading)
    for each in list(result["goals"]):  # type: ignore[call-overload]  # it is a list
        goals.add_row(each["goal"], each["bound"], f"{each['is']:.4g}", "met" if each["met"] else "not met")
    console.print(goals)
    for line in list(result["missing"]):  # type: ignore[call-overload]  # it is a list
        console.print(f"left out: {line}")


def bench(arguments: argparse.Namespace, folder: Path, console: Console) -> dict[str, object]:
    """All of it, one thing after the other."""
    tools = make_tools(arguments.tools)
    clip = arguments.clip or draw_pauses(folder / "clip.mp4", seconds=42)
    cutting = Bench(clip, folder, tools)
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task("", total=(arguments.pairs + 1) * len(cutting.contenders))
        runs = measure(cutting, arguments.pairs, lambda name: progress.update(task, advance=1, description=name))
    result = summary(cutting, runs)
    goals = list(result["goals"])  # type: ignore[call-overload]  # it is a list
    goals.append(detection(clip, folder, arguments.pairs))
    if arguments.speech and tools.silero:
        goals.append(speech(arguments.speech, tools))
    if not arguments.no_jobs:
        whole = asyncio.run(jobs(clip, folder, arguments.pairs))
        medians = {name: statistics.median(run.wall for run in each) for name, each in whole.items()}
        shown = {name: {"engine_s": 0, "wall_s": wall, "cpu_s": 0} for name, wall in medians.items()}
        result["contenders"] = {**dict(result["contenders"]), **shown}  # type: ignore[call-overload]  # it is a mapping
    return {**result, "goals": goals, "missing": list(tools.missing)}


def main() -> int:
    """0 when everything ran, whatever came out."""
    parser = argparse.ArgumentParser(description="Cutting silence beside the tools people use.")
    parser.add_argument("--clip", type=Path, help="a clip of your own; 42 s of 640x360 with pauses are drawn otherwise")
    parser.add_argument(
        "--speech", type=Path, metavar="WAV", help="speech that our detector and silero-vad are asked about"
    )
    parser.add_argument("--pairs", type=int, default=7, help="rounds that count (7)")
    parser.add_argument(
        "--tools", type=Path, default=Path("build/cut-tools"), help="where the tools are, or are installed"
    )
    parser.add_argument("--no-jobs", action="store_true", help="without whole jobs through the stack")
    parser.add_argument("--json", action="store_true", help="one JSON object")
    arguments = parser.parse_args()
    console = Console(highlight=False, stderr=arguments.json)
    with tempfile.TemporaryDirectory(prefix="framewire-bench-") as folder:
        try:
            result = bench(arguments, Path(folder), console)
        except FramewireError as error:
            print(f"bench: {error.code}: {error.message}", file=sys.stderr)
            return 1
    if arguments.json:
        print(json.dumps(result))
    else:
        show(result, console)
    return 0


if __name__ == "__main__":
    sys.exit(main())
