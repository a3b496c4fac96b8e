"""How long a job waits until its first frame is decoded, on a stack that has nothing else to do.

    python scripts/first_frame.py [--jobs 100] [--json]

From the event that says QUEUED to the first decoded frame: outbox, queue, worker, fetching the input, handing it to a
runner that waits for work, opening the file. Jobs run one after the other on one small clip, with a pause before each,
in which the worker starts the next runner ahead.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import sys
from pathlib import Path

from bench_folder import bench_folder
from rich.progress import track
from sample_clip import draw_clip

from framewire.client import Client
from framewire.stack.local import LocalStack
from framewire.stack.settings import StackSettings
from framewire.steps.parse import parse_step
from framewire.v1.job_pb2 import JOB_STATE_QUEUED, Event

_PAUSE = 1.5
_STEP = "enhance:model=upscale_bicubic_x2"


async def measure(jobs: int, folder: Path) -> list[float]:
    """Milliseconds of each job, in the order in which they ran; two before them are not counted."""
    clip = folder / "clip.mp4"
    draw_clip(clip, seconds=0.5, width=320, height=180)
    waits = []
    async with (
        LocalStack(StackSettings(data=folder / "data", environment=os.environ)) as stack,
        Client(stack.state.grpc) as client,
    ):
        asset = await client.upload(clip)
        for number in track(range(jobs + 2), description="jobs", transient=True):
            await asyncio.sleep(_PAUSE)
            job = await client.create_job([asset.asset_id], [parse_step(_STEP)])
            events = [event async for event in client.watch(job.job_id)]
            if number >= 2:
                waits.append(_wait(events))
    return waits


def _wait(events: list[Event]) -> float:
    queued = next(event for event in events if event.status.state == JOB_STATE_QUEUED)
    first = events[-1].status.fidelity.usage.first_frame_time
    return (first.ToMicroseconds() - queued.time.ToMicroseconds()) / 1000


def main() -> int:
    """0 when every job ran."""
    parser = argparse.ArgumentParser(description="From the queue to the first decoded frame.")
    parser.add_argument("--jobs", type=int, default=100, help="jobs that count (100)")
    parser.add_argument("--json", action="store_true", help="one JSON object")
    arguments = parser.parse_args()
    with bench_folder() as folder:
        waits = sorted(asyncio.run(measure(arguments.jobs, folder)))
    p99 = waits[min(len(waits) - 1, round(0.99 * len(waits)))]
    found = {"jobs": len(waits), "median_ms": statistics.median(waits), "p99_ms": p99, "most_ms": waits[-1]}
    words = f"{len(waits)} jobs: median {found['median_ms']:.0f} ms, p99 {p99:.0f} ms, most {waits[-1]:.0f} ms"
    print(json.dumps(found) if arguments.json else f"queued to first decoded frame, {words} (goal: p99 <= 100 ms)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
