"""`framewire list`."""

from __future__ import annotations

from pathlib import Path

import click
from rich.table import Table
from rich.text import Text

from framewire.cli.connect import connect
from framewire.cli.options import connection_options
from framewire.cli.running import run_async
from framewire.cli.screen import Screen, as_record, whole
from framewire.cli.words import STYLES, clock, job_steps, job_took
from framewire.jobs.states import state_name
from framewire.v1.job_pb2 import JOB_STATE_UNSPECIFIED, Job, JobState

_STATES = [name.removeprefix("JOB_STATE_").lower() for name, number in JobState.items() if number]


@click.command("list")
@click.option("--state", type=click.Choice(_STATES, case_sensitive=False), help="Only jobs in this state.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=20, show_default=True, help="At most this many.")
@connection_options
def command(state: str | None, limit: int, server: str | None, data: Path | None, as_json: bool) -> None:
    """List jobs, newest first."""
    run_async(_list(state, limit, server, data, Screen(as_json=as_json)))


async def _list(state: str | None, limit: int, server: str | None, data: Path | None, screen: Screen) -> None:
    wanted = JobState.Value(f"JOB_STATE_{state.upper()}") if state else JOB_STATE_UNSPECIFIED
    async with await connect(server, data) as client:
        jobs = await client.list_jobs(limit=limit, state=wanted)
    for job in jobs:
        screen.record({"job": as_record(job)})
    screen.words(_table(jobs) if jobs else "no jobs")


def _table(jobs: list[Job]) -> Table:
    table = Table(box=None, pad_edge=False)
    for heading in ("job", "state", "steps", "created", "took"):
        table.add_column(heading, no_wrap=True, overflow="ignore")
    for job in jobs:
        state = state_name(job.state)
        style = STYLES.get(state, "")
        table.add_row(job.job_id, Text(state, style), job_steps(job), clock(job.create_time), job_took(job))
    return whole(table)
