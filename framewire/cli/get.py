"""`framewire get`."""

from __future__ import annotations

from pathlib import Path

import click
from rich.table import Table

from framewire.cli.connect import connect
from framewire.cli.files import check_output, container_of, container_warning
from framewire.cli.options import connection_options
from framewire.cli.running import run_async
from framewire.cli.screen import Screen, as_record, whole
from framewire.cli.words import (
    clock,
    fidelity_warnings,
    fidelity_words,
    job_steps,
    job_took,
    progress_words,
    queue_words,
    size,
)
from framewire.errors import Conflict, ErrorCode
from framewire.jobs.states import state_name
from framewire.v1.job_pb2 import Job


@click.command("get")
@click.argument("job_id", metavar="JOB")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Download the result to this file.")
@connection_options
def command(job_id: str, output: Path | None, server: str | None, data: Path | None, as_json: bool) -> None:
    """Show JOB as it is now; with -o, download its result."""
    if output is not None:
        check_output(output)
    run_async(_get(job_id, output, server, data, Screen(as_json=as_json)))


async def _get(job_id: str, output: Path | None, server: str | None, data: Path | None, screen: Screen) -> None:
    async with await connect(server, data) as client:
        job = await client.get_job(job_id)
        screen.show(_table(job), {"job": as_record(job)})
        if output is None:
            return
        if not job.output_asset_ids:
            message = f"{job_id} has no result: it is {state_name(job.state)}"
            raise Conflict(message, code=ErrorCode.ASSET_NOT_READY)
        asset = await client.download(job.output_asset_ids[0], output)
        container = container_of(output)
        record = {"path": str(output), "container": container}
        screen.show(f"{output} ({size(asset.size_bytes)})", {"result": record})
        screen.warn(container_warning(output, container))


def _table(job: Job) -> Table:
    table = Table(box=None, show_header=False, pad_edge=False)
    for name, value in _facts(job):
        if value:
            table.add_row(name, value)
    return whole(table)


def _facts(job: Job) -> list[tuple[str, str]]:
    return [
        ("job", job.job_id),
        ("state", state_name(job.state) + (" (cancellation asked for)" if job.cancel_requested else "")),
        ("steps", job_steps(job)),
        ("input", " ".join(job.input_asset_ids)),
        ("queue", queue_words(job)),
        ("attempt", f"{job.attempt} of {job.max_attempts}" if job.attempt else ""),
        ("worker", job.worker + (f" ({job.placement})" if job.placement else "")),
        ("progress", progress_words(job.progress) if job.HasField("progress") else ""),
        ("created", clock(job.create_time)),
        ("took", job_took(job)),
        ("result", " ".join(job.output_asset_ids)),
        ("fidelity", fidelity_words(job.fidelity).partition(": ")[2] if job.HasField("fidelity") else ""),
        *(("", line) for line in (*job.fidelity.remarks, *fidelity_warnings(job.fidelity))),
        ("error", f"{job.error.code}: {job.error.message}" if job.HasField("error") else ""),
        ("last event", str(job.last_event or "")),
    ]
