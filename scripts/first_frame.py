"""How long a job waits until its first frame is decoded, on a stack that has nothing else to do.

    python scripts/first_frame.py [--jobs 100] [--slowest 5] [--json]

From the event that says QUEUED to the first decoded frame: outbox, queue, worker, fetching the input, handing it to a
runner that waits for work, opening the file. Jobs run one after the other on one small clip. Each is sent when the
worker says that it runs nothing and that its next runner is ready; one whose runner was not is shown apart.

For each of the slowest the stages that took longer than usual, and for how long threads of the stack's processes were
ready to run and had no processor: that part is the machine's.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

from bench_folder import bench_folder
from first_frame_table import Start, summary, undisturbed, words_of
from rich.progress import track
from run_delay import RunDelay
from sample_clip import draw_clip

from framewire.client import Client
from framewire.stack.local import LocalStack
from framewire.stack.settings import StackSettings
from framewire.steps.parse import parse_step
from framewire.v1.job_pb2 import JOB_STATE_QUEUED, Event

_STEP = "enhance:model=upscale_bicubic_x2"
_UNCOUNTED = 2
_READY_SECONDS = 30.0
_LOOK_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Site:
    """A running stack and its client."""

    client: Client
    services: Callable[[], Mapping[str, int]]


async def measure(jobs: int, folder: Path) -> list[Start]:
    """The start of each job, in the order in which they ran; the first ones are not counted."""
    clip = folder / "clip.mp4"
    draw_clip(clip, seconds=0.5, width=320, height=180)
    starts = []
    async with (
        LocalStack(StackSettings(data=folder / "data", environment=os.environ)) as stack,
        Client(stack.state.grpc) as client,
    ):
        site = Site(client, lambda: {each.name: each.pid for each in stack.state.services if each.pid})
        asset = await client.upload(clip)
        ended = datetime.now().astimezone()
        for number in track(range(jobs + _UNCOUNTED), description="jobs", transient=True):
            await _until_ready(client, ended)
            start, ended = await _run(site, asset.asset_id)
            if number >= _UNCOUNTED:
                starts.append(start)
    return starts


async def _until_ready(client: Client, ended: datetime) -> None:
    """Wait until the worker has said, since the last job's end, that it runs nothing and has a runner ready."""
    async with asyncio.timeout(_READY_SECONDS):
        while True:
            workers = await client.operations.workers()
            if any(
                each.warm_runners and not each.running_job_ids and each.time.ToDatetime(ended.tzinfo) > ended
                for each in workers
            ):
                return
            await asyncio.sleep(_LOOK_SECONDS)


async def _run(site: Site, asset_id: str) -> tuple[Start, datetime]:
    """A job's start, and when it ended."""
    delay = RunDelay(site.services())
    job = await site.client.create_job([asset_id], [parse_step(_STEP)])
    events, delays = [], {}
    async for event in site.client.watch(job.job_id):
        events.append(event)
        if event.WhichOneof("kind") == "input":  # said just before the first frame
            delays = delay.milliseconds()
    return _start(events, delays), _time(events[-1].time)


def _start(events: Sequence[Event], delays: Mapping[str, float]) -> Start:
    usage = events[-1].status.fidelity.usage
    last = _time(next(event for event in events if event.status.state == JOB_STATE_QUEUED).time)
    begin, stages = last, {}
    moments = [(moment.name, _time(moment.time)) for moment in usage.start]
    for name, time in sorted([*moments, ("first frame", _time(usage.first_frame_time))], key=lambda each: each[1]):
        stages[name] = (time - last).total_seconds() * 1000
        last = time
    first = _time(usage.first_frame_time)
    return Start(milliseconds=(first - begin).total_seconds() * 1000, stages=stages, warm=usage.warm, delays=delays)


def _time(stamp: object) -> datetime:
    return stamp.ToDatetime().astimezone()  # type: ignore[attr-defined,no-any-return]  # a Timestamp; its stub is private


def main() -> int:
    """0 when every job ran."""
    parser = argparse.ArgumentParser(description="From the queue to the first decoded frame.")
    parser.add_argument("--jobs", type=int, default=100, help="jobs that count (100)")
    parser.add_argument("--slowest", type=int, default=5, help="jobs whose stages are shown (5)")
    parser.add_argument("--json", action="store_true", help="one JSON object")
    arguments = parser.parse_args()
    with bench_folder() as folder:
        starts = asyncio.run(measure(arguments.jobs, folder))
    if arguments.json:
        alone = summary(undisturbed(starts))
        print(json.dumps({**summary(starts), "undisturbed": alone, "starts": [asdict(start) for start in starts]}))
    else:
        print(words_of(starts, slowest=arguments.slowest))
    return 0


if __name__ == "__main__":
    sys.exit(main())
