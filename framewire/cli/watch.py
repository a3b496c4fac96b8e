"""`framewire watch`."""

from __future__ import annotations

from pathlib import Path

import click

from framewire.cli.connect import connect, rest_address
from framewire.cli.options import connection_options
from framewire.cli.running import run_async
from framewire.cli.screen import Screen, event_record
from framewire.cli.words import event_line, queue_words
from framewire.client import Client
from framewire.client.run import raise_unless_succeeded
from framewire.jobs.states import ends_job
from framewire.v1.job_pb2 import Event, Job, StatusChange


@click.command("watch")
@click.argument("job_id", metavar="JOB")
@click.option("--after", type=click.IntRange(0, 2**64 - 1), default=0, help="Only events with a larger number.")
@connection_options
def command(job_id: str, after: int, server: str | None, data: Path | None, as_json: bool) -> None:
    """Show JOB's events, from the first, until it ends. Fails with the job's error when the job fails.

    A connection that breaks is found again; no event is missed or shown twice.

    \b
    Examples:
      framewire watch job_01jd...
      framewire watch job_01jd... --after 17 --json
    """
    run_async(_watch(job_id, after, server, data, Screen(as_json=as_json)))


async def _watch(job_id: str, after: int, server: str | None, data: Path | None, screen: Screen) -> None:
    end: StatusChange | Job | None = None
    rest = await rest_address(server, data)
    async with await connect(server, data) as client:
        await _show_queue(client, job_id, screen)
        async for event in client.watch(job_id, after=after):
            _show(event, rest, screen)
            if ends_job(event):
                end = event.status
        # none of these events told how a job ended that had done so before
        raise_unless_succeeded(end or await client.get_job(job_id))


def _show(event: Event, rest: str, screen: Screen) -> None:
    """A line an event, but for pictures; with the first segment also where to watch it."""
    if event.WhichOneof("kind") == "preview":
        screen.record({"event": event_record(event)})
        return
    screen.show(event_line(event), {"event": event_record(event)})
    if event.HasField("segment") and event.segment.index == 0:
        screen.words(f"        watch it: {rest}/v1/jobs/{event.job_id}/playlist.m3u8")


async def _show_queue(client: Client, job_id: str, screen: Screen) -> None:
    """Where the job stands while it waits; people only, the stream says nothing of it."""
    words = queue_words(await client.get_job(job_id))
    if words:
        screen.words(words)
