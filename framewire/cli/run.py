"""`framewire run`."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import click

from framewire.cli.connect import running_stack
from framewire.cli.files import check_input, check_output, container_of, container_warning
from framewire.cli.options import connection_options, output_options, read_steps, step_option
from framewire.cli.progress import RunView
from framewire.cli.running import run_async
from framewire.cli.screen import Screen, as_record
from framewire.cli.words import fidelity_warnings, fidelity_words, size
from framewire.client import Client
from framewire.client.run import ClipOrder, run_clip
from framewire.stack.local import LocalStack
from framewire.stack.settings import StackSettings, default_data_folder
from framewire.v1.job_pb2 import Job, OutputSettings


@click.command("run")
@click.argument("clip", type=click.Path(path_type=Path))
@step_option
@output_options
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="Where to put the result.")
@connection_options
def command(
    clip: Path,
    steps: tuple[str, ...],
    settings: OutputSettings,
    output: Path,
    server: str | None,
    data: Path | None,
    as_json: bool,
) -> None:
    """Upload CLIP, run the steps on it, download the result to OUTPUT. A job the server refuses uploads nothing.

    Uses the local stack that runs, or the gateway named with --server; else it starts a local stack for itself and
    stops it afterwards. Ctrl-C cancels the job. OUTPUT is replaced when the result is complete, and not before.

    \b
    Examples:
      framewire run in.mp4 --step enhance:scale=2 -o out.mp4
      framewire run in.mp4 --step enhance:model=upscale_bicubic_x2 -o out.mp4 --server 127.0.0.1:7600
      framewire run in.mov --step denoise -o out.mkv --codec hevc --container mkv --crf 16 --preset medium
    """
    check_input(clip)
    order = ClipOrder(clip=clip, steps=read_steps(steps), output=output, settings=settings)
    check_output(output, clip)
    run_async(run(order, server, data, Screen(as_json=as_json)))


async def run(order: ClipOrder, server: str | None, data: Path | None, screen: Screen) -> Job:
    """Run a clip through a gateway that is found, or started for it."""
    async with contextlib.AsyncExitStack() as stack:
        address = server or await gateway_address(data, screen, stack)
        client = await stack.enter_async_context(Client(address))
        view = stack.enter_context(RunView(screen))
        job = await run_clip(client, order, view)
    result = order.output.stat().st_size
    container = container_of(order.output)
    record = {
        "path": str(order.output),
        "jobId": job.job_id,
        "container": container,
        "fidelity": as_record(job.fidelity),
    }
    screen.show(f"{order.output} ({size(result)})\n{fidelity_words(job.fidelity)}", {"result": record})
    for line in fidelity_warnings(job.fidelity):
        screen.warn(line)
    screen.warn(container_warning(order.output, container))
    return job


async def gateway_address(data: Path | None, screen: Screen, stack: contextlib.AsyncExitStack) -> str:
    """The address of the local stack that runs, or of one that is started and stopped with `stack`."""
    running = await running_stack(data)
    if running:
        return running.grpc
    screen.words("starting a local stack for this run (`framewire up` keeps one)")
    settings = StackSettings(data=data or default_data_folder(), environment=os.environ)
    local = await stack.enter_async_context(LocalStack(settings))
    return local.state.grpc
