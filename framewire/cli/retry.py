"""`framewire retry`."""

from __future__ import annotations

import click

from framewire.cli.connect import connect
from framewire.cli.options import Connection, connected
from framewire.cli.running import run_async
from framewire.cli.screen import Screen, as_record
from framewire.cli.words import retried_words


@click.command("retry")
@click.argument("job_id", metavar="JOB")
@connected
def command(connection: Connection, job_id: str) -> None:
    """Queue JOB again, which has FAILED. It has as many attempts as it had at first.

    \b
    Examples:
      framewire list --state failed
      framewire retry job_01jd...
    """
    run_async(_retry(connection, job_id))


async def _retry(connection: Connection, job_id: str) -> None:
    async with await connect(connection.server, connection.data) as client:
        job = await client.retry_job(job_id)
    Screen(as_json=connection.as_json).show(retried_words(job), {"job": as_record(job)})
