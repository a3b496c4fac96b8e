"""A whole job through the real stack beside the bare model loop on the same frames.

    python scripts/bench.py [--clip CLIP] [--pairs 2] [--json]

Both are run in turn, A-B-B-A, and the medians are shown: wall time is noisy on a machine that is shared.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bare_loop import BareRun, run_bare_loop
from bench_folder import bench_folder
from bench_hop import measure_hop
from meter import Meter, Usage
from rich.console import Console
from rich.table import Table
from sample_clip import draw_clip

from framewire.client import Client
from framewire.client.run import ClipOrder, RunObserver, run_clip
from framewire.stack.local import LocalStack
from framewire.stack.settings import StackSettings
from framewire.steps.parse import parse_step


@dataclass(frozen=True, slots=True, kw_only=True)
class WholeRun:
    """What one job took."""

    frames: int
    wall: float
    """Seconds from the first byte of the upload to the last of the download."""
    processing: float
    """Seconds of the job itself, on the worker."""
    usage: Usage


async def run_whole_job(stack: LocalStack, clip: Path, output: Path) -> WholeRun:
    """One job, measured."""
    services = {service.name: service.pid for service in stack.state.services if service.pid}
    order = ClipOrder(clip=clip, steps=[parse_step("enhance:model=upscale_bicubic_x2")], output=output)
    async with Client(stack.state.grpc) as client:
        with Meter(services, stack.folder.root).measured() as usage:
            began = time.perf_counter()
            job = await run_clip(client, order, RunObserver())
            wall = time.perf_counter() - began
    processing = (job.end_time.ToMicroseconds() - job.start_time.ToMicroseconds()) / 1e6
    return WholeRun(frames=job.fidelity.frames_out, wall=wall, processing=processing, usage=usage)


async def measure(clip: Path, pairs: int, batch: int, folder: Path) -> tuple[list[WholeRun], list[BareRun]]:
    """So many pairs, in the order A-B-B-A, after one run of each that does not count."""
    whole: list[WholeRun] = []
    bare: list[BareRun] = []

    async def job() -> None:
        whole.append(await run_whole_job(stack, clip, folder / "out.mp4"))

    async def loop() -> None:
        bare.append(await asyncio.to_thread(run_bare_loop, clip, batch))

    async with LocalStack(StackSettings(data=folder / "data", environment=os.environ)) as stack:
        for pair in range(pairs + 1):
            for measured in (job, loop) if pair % 2 else (loop, job):
                await measured()
    return whole[1:], bare[1:]


def summary(whole: Sequence[WholeRun], bare: Sequence[BareRun]) -> dict[str, object]:
    """Medians of everything, and peaks."""
    job_fps = [run.frames / run.wall for run in whole]
    bare_fps = [run.frames / run.wall for run in bare]
    roles = sorted({role for run in whole for role in run.usage.rss})
    return {
        "frames": whole[0].frames,
        "pairs": len(whole),
        "job_fps": statistics.median(job_fps),
        "job_wall_s": statistics.median(run.wall for run in whole),
        "processing_fps": statistics.median(run.frames / run.processing for run in whole),
        "processing_s": statistics.median(run.processing for run in whole),
        "job_cpu_s": statistics.median(run.usage.cpu for run in whole),
        "bare_fps": statistics.median(bare_fps),
        "bare_wall_s": statistics.median(run.wall for run in bare),
        "bare_cpu_s": statistics.median(run.cpu for run in bare),
        "ratio": statistics.median(job / loop for job, loop in zip(job_fps, bare_fps, strict=True)),
        "frame_file_bytes": max(run.usage.frame_file_bytes for run in whole),
        "peak_rss_bytes": {role: max(run.usage.rss.get(role, 0) for run in whole) for role in roles},
        "bare_peak_rss_bytes": max(run.rss for run in bare),
    }


def table(result: dict[str, object]) -> Table:
    """The summary for people."""
    drawn = Table(box=None, show_header=False, pad_edge=False)
    rows = [
        ("whole job, frames/s", f"{result['job_fps']:.1f}", "upload and download included"),
        ("  wall / processor", f"{result['job_wall_s']:.1f} s / {result['job_cpu_s']:.1f} s", "all processes together"),
        ("its processing alone, frames/s", f"{result['processing_fps']:.1f}", f"{result['processing_s']:.1f} s"),
        ("bare model loop, frames/s", f"{result['bare_fps']:.1f}", "one process, frames decoded beforehand"),
        ("  wall / processor", f"{result['bare_wall_s']:.1f} s / {result['bare_cpu_s']:.1f} s", ""),
        ("whole job / bare loop", f"{result['ratio']:.2f}", "median over the pairs"),
        ("intermediate frame files", f"{result['frame_file_bytes']} bytes", "peak below the data folder"),
    ]
    rows += [
        (f"640x360, {name}", f"{taken:.2f}", "batches of 8, four under way") for name, taken in _times(result["hop"])
    ]
    rows += [(f"peak memory, {role}", f"{rss / 1e6:.0f} MB", "") for role, rss in _items(result["peak_rss_bytes"])]
    for row in rows:
        drawn.add_row(*row)
    return drawn


def _items(value: object) -> list[tuple[str, int]]:
    return list(value.items()) if isinstance(value, dict) else []


def _times(value: object) -> list[tuple[str, float]]:
    return list(value.items()) if isinstance(value, dict) else []


def main() -> int:
    """0 when everything ran."""
    parser = argparse.ArgumentParser(description="Speed and memory of a whole job beside the bare model loop.")
    parser.add_argument("--clip", type=Path, help="a clip of your own; 10 s of 768x432 are drawn otherwise")
    parser.add_argument("--pairs", type=int, default=2, help="pairs that count (default 2)")
    parser.add_argument("--batch", type=int, default=8, help="frames a batch of the bare loop (default 8)")
    parser.add_argument("--json", action="store_true", help="one JSON object")
    arguments = parser.parse_args()
    with bench_folder() as folder:
        clip = arguments.clip or folder / "clip.mp4"
        if not arguments.clip:
            draw_clip(clip, seconds=10, width=768, height=432)
        runs = asyncio.run(measure(clip, max(1, arguments.pairs), arguments.batch, folder))
    result = {"clip": clip.name, **summary(*runs), "hop": measure_hop(pairs=7, batches=60)}
    if arguments.json:
        print(json.dumps(result))
    else:
        Console(highlight=False).print(table(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
