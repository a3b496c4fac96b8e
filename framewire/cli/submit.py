"""`framewire submit`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import click

from framewire.cli.connect import connect
from framewire.cli.files import check_input
from framewire.cli.options import connection_options, output_options, read_steps, step_option
from framewire.cli.running import run_async
from framewire.cli.screen import Screen, as_record
from framewire.client.run import submit_clip
from framewire.v1.job_pb2 import OutputSettings
from framewire.v1.step_pb2 import Step


@click.command("submit")
@click.argument("clip", type=click.Path(path_type=Path))
@step_option
@output_options
@click.option("--priority", type=click.IntRange(0, 3), help="0 is the highest, 3 the lowest.  [default: 1]")
@connection_options
def command(
    clip: Path,
    steps: tuple[str, ...],
    settings: OutputSettings,
    priority: int | None,
    server: str | None,
    data: Path | None,
    as_json: bool,
) -> None:
    """Create a job, upload CLIP and print the job's id; `framewire watch` shows what becomes of it.

    \b
    Examples:
      framewire submit in.mp4 --step enhance:scale=2
      framewire watch $(framewire submit in.mp4 --step enhance:scale=2)
    """
    check_input(clip)
    order = _Order(clip=clip, steps=read_steps(steps), settings=settings, priority=priority)
    run_async(_submit(order, server, data, Screen(as_json=as_json)))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Order:
    clip: Path
    steps: list[Step]
    settings: OutputSettings
    priority: int | None


async def _submit(order: _Order, server: str | None, data: Path | None, screen: Screen) -> None:
    async with await connect(server, data) as client:
        job = await submit_clip(client, order.clip, order.steps, output=order.settings, priority=order.priority)
        screen.show(job.job_id, {"job": as_record(job)})
