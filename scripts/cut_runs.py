"""What cutting is compared with, and how it is timed: every run is a process of its own, or a job."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from cut_loops import read_ranges
from cut_tools import Tools

from coordinator.media.probe import probe
from framewire.client import Client
from framewire.client.run import ClipOrder, RunObserver, run_clip
from framewire.edits.edit_list import EditList, Span
from framewire.edits.exports import SourceFilm, export
from framewire.stack.local import LocalStack
from framewire.stack.settings import StackSettings
from framewire.steps.parse import parse_step

HERE = Path(__file__).resolve().parent


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What one contender took for one clip."""

    wall: float
    """Seconds of the whole process, its start included; of a job from the first byte sent to the last received."""
    engine: float
    """Seconds of the work alone, as a tool tells it; of auto-editor, which does not, without what `--version` takes."""
    cpu: float
    """Seconds of its processes; 0 for a job."""


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
            contenders["auto-editor"] = lambda: self._auto_editor("auto-editor", clip)
            listed = self._listed(clip)
            contenders["auto-editor, our list"] = lambda: self._auto_editor("auto-editor, our list", listed)
        self.contenders: Mapping[str, Callable[[], Run]] = contenders

    def result(self, name: str) -> Path:
        """Where a contender puts what it made."""
        return self._folder / f"{name}.mp4"

    def _loop(self, name: str, python: str) -> Callable[[], Run]:
        command = [python, str(HERE / "cut_loops.py"), name, str(self.clip), str(self.result(name)), self.keep]
        return lambda: _timed(command)

    def _listed(self, clip: Path) -> Path:
        """Our ranges as a timeline that auto-editor reads: it need not listen then."""
        path = self._folder / "list.json"
        film = SourceFilm.from_media(probe(clip), str(clip))
        edits = EditList(Span(start=start, end=end) for start, end in read_ranges(self.keep))
        path.write_bytes(export(edits, film, "auto-editor"))
        return path

    def _auto_editor(self, name: str, source: Path) -> Run:
        commands = self._tools.auto_editor
        quiet = ("--no-open", "--progress", "none", "--my-ffmpeg")
        program = f"{commands}/auto-editor"
        start = _timed([program, "--version"], path=f"{commands}").wall
        run = _timed([program, str(source), "-o", str(self.result(name)), *quiet], path=f"{commands}")
        return replace(run, engine=run.wall - start)


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


def listening(film: Path, pairs: int) -> dict[str, list[Run]]:
    """How long our step listens to a film, and how long decoding its sound takes alone, in turn."""
    runs: dict[str, list[Run]] = {"detect": [], "decode": []}
    for _ in range(pairs):
        for name, each in runs.items():
            each.append(_timed([sys.executable, str(HERE / "cut_loops.py"), name, str(film), "-", "[]"]))
    return runs
