"""`framewire cancel`."""

from __future__ import annotations

from pathlib import Path

import click

from framewire.cli.connect import connect
from framewire.cli.options import connection_options
from framewire.cli.running import run_async
from framewire.cli.screen import Screen, as_record
from framewire.jobs.states import TERMINAL, state_name


@click.command("cancel")
@click.argument("job_id", metavar="JOB")
@connection_options
def command(job_id: str, server: str | None, data: Path | None, as_json: bool) -> None:
    """Ask for JOB to stop. A job that has ended stays as it ended."""
    run_async(_cancel(job_id, server, data, Screen(as_json=as_json)))


async def _cancel(job_id: str, server: str | None, data: Path | None, screen: Screen) -> None:
    async with await connect(server, data) as client:
        job = await client.cancel_job(job_id)
    state = state_name(job.state)
    words = f"{job_id} is {state}" if job.state in TERMINAL else f"{job_id} will be cancelled; it is {state} now"
    screen.show(words, {"job": as_record(job)})
