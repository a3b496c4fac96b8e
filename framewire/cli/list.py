"""`framewire list`."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import click
from rich.table import Table
from rich.text import Text

from framewire.cli.connect import connect
from framewire.cli.moments import MOMENT
from framewire.cli.options import Connection, connected
from framewire.cli.running import run_async
from framewire.cli.screen import Screen, as_record, whole
from framewire.cli.words import STYLES, clock, job_steps, job_took, queue_words
from framewire.jobs.states import state_name
from framewire.v1.job_pb2 import JOB_STATE_UNSPECIFIED, Job, JobState

_STATES = [name.removeprefix("JOB_STATE_").lower() for name, number in JobState.items() if number]


@click.command("list")
@click.option("--state", type=click.Choice(_STATES, case_sensitive=False), help="Only jobs in this state.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=20, show_default=True, help="At most this many.")
@click.option("--since", type=MOMENT, help="Only jobs created at this time or later.")
@click.option("--until", type=MOMENT, help="Only jobs created before this time.")
@connected
def command(
    connection: Connection, state: str | None, limit: int, since: datetime | None, until: datetime | None
) -> None:
    """List jobs, newest first. Jobs that wait show where they stand in the queue.

    A time is a date, a date and a time (UTC), or how long ago: 30m, 12h, 7d.

    \b
    Examples:
      framewire list --state failed --since 7d
      framewire list --since 2026-11-01 --until 2026-11-02T12:00
    """
    wanted = JobState.Value(f"JOB_STATE_{state.upper()}") if state else JOB_STATE_UNSPECIFIED
    run_async(_list(connection, limit=limit, state=wanted, created_after=since, created_before=until))


async def _list(connection: Connection, **wanted: Any) -> None:
    screen = Screen(as_json=connection.as_json)
    async with await connect(connection.server, connection.data) as client:
        jobs = await client.list_jobs(**wanted)
    for job in jobs:
        screen.record({"job": as_record(job)})
    screen.words(_table(jobs) if jobs else "no jobs")


def _table(jobs: list[Job]) -> Table:
    table = Table(box=None, pad_edge=False)
    for heading in ("job", "state", "steps", "created", "took", "queue"):
        table.add_column(heading, no_wrap=True, overflow="ignore")
    for job in jobs:
        state = state_name(job.state)
        style = STYLES.get(state, "")
        table.add_row(
            job.job_id, Text(state, style), job_steps(job), clock(job.create_time), job_took(job), queue_words(job)
        )
    return whole(table)
