"""Cutting silence beside the tools people use: `make bench-cut`.

    python scripts/cut_bench.py [--clip CLIP] [--speech WAV] [--pairs 7] [--tools FOLDER] [--json]

Each round runs every contender once, the order turned round from round to round; medians of the rounds' ratios are
shown. Everything cuts the same ranges, those our step finds with its defaults; auto-editor also finds its own, with its
defaults: from the loudest sample beside the loudest of the film, where ours is the root mean square.

    scripts/cut_runs.py   how they are timed     scripts/cut_tools.py   where the tools come from
    scripts/cut_loops.py  what each one is       scripts/cut_check.py   what is looked at in the results
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import av
from bench_folder import bench_folder
from cut_check import Kept, check
from cut_loops import read_ranges
from cut_runs import Bench, Run, jobs, listening, measure
from cut_speech import compare
from cut_tools import Tools, make_tools
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from sample_pauses import draw_pauses, repeat_film

LONG = 1800
"""Seconds of the film whose detection is timed: the clip, repeated."""


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
        name="detect and cut / auto-editor, the work alone",
        run="silence",
        to="auto-editor",
        part=lambda run: run.engine,
        most=0.2,
    ),
    Goal(
        name="the same, whole processes",
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


def summary(bench: Bench, runs: Mapping[str, Sequence[Run]]) -> dict[str, object]:
    """Medians, the ratios the goals ask for, and what is in the results."""
    keep = read_ranges(bench.keep)
    looked = {name: check(bench.clip, bench.result(name), keep) for name in runs if name not in ("copy",)}
    contenders = {
        name: {
            "engine_s": statistics.median(run.engine for run in each),
            "wall_s": statistics.median(run.wall for run in each),
            "cpu_s": _cpu(each),
            **(_looked(looked[name]) if name in looked else {}),
        }
        for name, each in runs.items()
    }
    return {"cores": len(os.sched_getaffinity(0)), "contenders": contenders, "goals": _goals(runs, looked["cut"].share)}


def _goals(runs: Mapping[str, Sequence[Run]], share: float) -> list[dict[str, object]]:
    """The ratios the goals ask for, and the share of packets that came through unchanged."""
    ratios = [
        {
            "goal": goal.name,
            "bound": f"<= {goal.most:g}",
            "is": round(value := _ratio(runs, goal), 3),
            "cpu": round(_cpu(runs[goal.run]) / _cpu(runs[goal.to]), 3),
            "met": value <= goal.most,
        }
        for goal in GOALS
        if goal.to in runs
    ]
    unchanged = {
        "goal": "packets outside cut groups of pictures, unchanged",
        "bound": "100 %",
        "is": share,
        "met": share == 1.0,
    }
    return [*ratios, unchanged]


def _looked(kept: Kept) -> dict[str, object]:
    return {"frames": f"{kept.frames} of {kept.wanted}", "unchanged": kept.share}


def _cpu(runs: Sequence[Run]) -> float:
    return statistics.median(run.cpu for run in runs)


def _ratio(runs: Mapping[str, Sequence[Run]], goal: Goal) -> float:
    pairs = zip(runs[goal.run], runs[goal.to], strict=True)
    return statistics.median(goal.part(one) / goal.part(other) for one, other in pairs)


def detection(clip: Path, folder: Path, pairs: int) -> dict[str, object]:
    """How many times faster than real time a long film is looked through."""
    long = repeat_film(clip, folder / "long.mp4", seconds=LONG)
    with av.open(str(long)) as film:
        seconds = (film.duration or 0) / av.time_base
    runs = listening(long, pairs)
    speed, limit = (seconds / statistics.median(run.engine for run in runs[name]) for name in ("detect", "decode"))
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
    for heading in ("", "goal", "measured", "by CPU time", ""):
        goals.add_column(heading)
    for each in list(result["goals"]):  # type: ignore[call-overload]  # it is a list
        by_cpu = f"{each['cpu']:.4g}" if "cpu" in each else ""
        goals.add_row(each["goal"], each["bound"], f"{each['is']:.4g}", by_cpu, "met" if each["met"] else "not met")
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
    with bench_folder() as folder:
        result = bench(arguments, folder, console)
    if arguments.json:
        print(json.dumps(result))
    else:
        show(result, console)
    return 0


if __name__ == "__main__":
    sys.exit(main())
