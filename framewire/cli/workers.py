"""`framewire workers`."""

from __future__ import annotations

import click
from rich.table import Table

from framewire.cli.connect import connect
from framewire.cli.options import Connection, connected, is_alone
from framewire.cli.running import run_async
from framewire.cli.screen import Screen, as_record
from framewire.cli.words import lane_name
from framewire.v1.operations_pb2 import Worker

_PRIORITIES = [0, 1, 2, 3]


@click.group("workers", invoke_without_command=True)
@connected
def command(connection: Connection) -> None:
    """Show the workers that are alive, what they take and what they run.

    \b
    Examples:
      framewire workers
      framewire workers drain rented-1
      framewire workers resume rented-1
    """
    if is_alone():
        run_async(_list(connection))


@command.command("drain")
@click.argument("worker")
@connected
def drain(connection: Connection, worker: str) -> None:
    """WORKER finishes what it runs and takes nothing new. It need not be alive yet."""
    run_async(_control(connection, worker, draining=True))


@command.command("resume")
@click.argument("worker")
@connected
def resume(connection: Connection, worker: str) -> None:
    """WORKER takes jobs again."""
    run_async(_control(connection, worker, draining=False))


async def _list(connection: Connection) -> None:
    screen = Screen(as_json=connection.as_json)
    async with await connect(connection.server, connection.data) as client:
        workers = list(await client.operations.workers())
    for worker in workers:
        screen.record({"worker": as_record(worker)})
    screen.words(_table(workers) if workers else "no workers")


async def _control(connection: Connection, worker: str, *, draining: bool) -> None:
    async with await connect(connection.server, connection.data) as client:
        await (client.operations.drain(worker) if draining else client.operations.resume_worker(worker))
        live = [each.worker for each in await client.operations.workers()]
    words = f"{worker} takes nothing new" if draining else f"{worker} takes jobs again"
    screen = Screen(as_json=connection.as_json)
    screen.show(words, {"worker": {"worker": worker, "draining": draining, "alive": worker in live}})
    if worker not in live:
        screen.warn(f"no worker of this name is alive now; there are: {', '.join(live) or 'none'}")


def _table(workers: list[Worker]) -> Table:
    table = Table(box=None, pad_edge=False)
    for heading in ("worker", "state", "lanes", "priorities", "running", "takes", "models"):
        table.add_column(heading, no_wrap=True, overflow="ignore")
    for worker in workers:
        table.add_row(
            worker.worker,
            "draining" if worker.draining else "working" if worker.running_job_ids else "idle",
            " ".join(lane_name(lane) for lane in worker.lanes),
            "all" if sorted(worker.priorities) == _PRIORITIES else " ".join(map(str, worker.priorities)),
            f"{len(worker.running_job_ids)} of {worker.slots}",
            f"when more than {worker.overflow_after} wait" if worker.HasField("overflow_after") else "always",
            " ".join(model.name for model in worker.models),
        )
    return table
