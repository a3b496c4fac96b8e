"""`framewire lanes`."""

from __future__ import annotations

import click
from rich.table import Table

from framewire.cli.connect import connect
from framewire.cli.options import Connection, connected, is_alone
from framewire.cli.running import run_async
from framewire.cli.screen import Screen, as_record
from framewire.cli.words import lane_name, seconds, span
from framewire.v1.operations_pb2 import LaneStatus
from framewire.v1.step_pb2 import Lane

_LANES = [lane_name(number) for number in Lane.values() if number]
_argument = click.argument("lane", type=click.Choice(_LANES, case_sensitive=False))


@click.group("lanes", invoke_without_command=True)
@connected
def command(connection: Connection) -> None:
    """Show every lane: what waits, what runs, how long the oldest has waited.

    \b
    Examples:
      framewire lanes
      framewire lanes pause gpu
      framewire lanes resume gpu
    """
    if is_alone():
        run_async(_list(connection))


@command.command("pause")
@_argument
@connected
def pause(connection: Connection, lane: str) -> None:
    """No worker takes a job of LANE until it is resumed; what runs goes on."""
    run_async(_control(connection, lane, paused=True))


@command.command("resume")
@_argument
@connected
def resume(connection: Connection, lane: str) -> None:
    """Workers take jobs of LANE again."""
    run_async(_control(connection, lane, paused=False))


async def _list(connection: Connection) -> None:
    async with await connect(connection.server, connection.data) as client:
        lanes = await client.operations.lanes()
    _show(list(lanes), Screen(as_json=connection.as_json))


async def _control(connection: Connection, name: str, *, paused: bool) -> None:
    lane = Lane.Value(f"LANE_{name.upper()}")
    async with await connect(connection.server, connection.data) as client:
        status = await (client.operations.pause(lane) if paused else client.operations.resume(lane))
    _show([status], Screen(as_json=connection.as_json))


def _show(lanes: list[LaneStatus], screen: Screen) -> None:
    for lane in lanes:
        screen.record({"lane": as_record(lane)})
    screen.words(_table(lanes))


def _table(lanes: list[LaneStatus]) -> Table:
    table = Table(box=None, pad_edge=False)
    for heading in ("lane", "state", "waiting", "oldest", "running", "slots", "workers"):
        table.add_column(heading, no_wrap=True)
    for lane in lanes:
        table.add_row(
            lane_name(lane.lane),
            "paused" if lane.paused else "open",
            str(lane.waiting),
            span(seconds(lane.oldest_wait)) if lane.HasField("oldest_wait") else "",
            str(lane.running),
            str(lane.slots),
            str(lane.workers),
        )
    return table
