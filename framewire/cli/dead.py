"""`framewire dead`."""

from __future__ import annotations

import click
from rich.table import Table

from framewire.cli.connect import connect
from framewire.cli.options import Connection, connected, is_alone
from framewire.cli.running import run_async
from framewire.cli.screen import Screen, as_record
from framewire.cli.words import clock, retried_words
from framewire.v1.operations_pb2 import DeadLetter

_number = click.argument("number", type=click.IntRange(1, 2**64 - 1))


@click.group("dead", invoke_without_command=True)
@connected
def command(connection: Connection) -> None:
    """Orders that will never be done, and why. Without a command: the list.

    \b
    Examples:
      framewire dead list
      framewire dead show 12
      framewire dead redrive 12
      framewire dead drop 12
    """
    if is_alone():
        run_async(_list(connection, 50))


@command.command("list")
@click.option("--limit", type=click.IntRange(1, 10_000), default=50, show_default=True, help="At most this many.")
@connected
def list_letters(connection: Connection, limit: int) -> None:
    """List them, oldest first."""
    run_async(_list(connection, limit))


@command.command("show")
@_number
@connected
def show(connection: Connection, number: int) -> None:
    """Show one, with what happened to its job."""
    run_async(_show(connection, number))


@command.command("redrive")
@_number
@connected
def redrive(connection: Connection, number: int) -> None:
    """Queue its job again and drop the letter."""
    run_async(_redrive(connection, number))


@command.command("drop")
@_number
@connected
def drop(connection: Connection, number: int) -> None:
    """Forget it. Its job stays as it is."""
    run_async(_drop(connection, number))


async def _list(connection: Connection, limit: int) -> None:
    screen = Screen(as_json=connection.as_json)
    async with await connect(connection.server, connection.data) as client:
        letters = await client.operations.dead_letters(limit=limit)
    for letter in letters:
        screen.record({"deadLetter": as_record(letter)})
    screen.words(_table(letters) if letters else "no dead letters")


async def _show(connection: Connection, number: int) -> None:
    async with await connect(connection.server, connection.data) as client:
        letter = await client.operations.dead_letter(number)
    Screen(as_json=connection.as_json).show(_facts(letter), {"deadLetter": as_record(letter)})


async def _redrive(connection: Connection, number: int) -> None:
    async with await connect(connection.server, connection.data) as client:
        job = await client.operations.redrive(number)
    Screen(as_json=connection.as_json).show(retried_words(job), {"job": as_record(job)})


async def _drop(connection: Connection, number: int) -> None:
    async with await connect(connection.server, connection.data) as client:
        await client.operations.drop(number)
    Screen(as_json=connection.as_json).show(f"dropped {number}", {"dropped": {"number": number}})


def _table(letters: list[DeadLetter]) -> Table:
    table = Table(box=None, pad_edge=False)
    for heading in ("number", "job", "buried", "why"):
        table.add_column(heading, no_wrap=True, overflow="ignore")
    for letter in letters:
        table.add_row(str(letter.number), letter.job_id or "?", clock(letter.time), letter.reason)
    return table


def _facts(letter: DeadLetter) -> Table:
    table = Table(box=None, show_header=False, pad_edge=False)
    facts = [("number", str(letter.number)), ("job", letter.job_id), ("workspace", letter.workspace_id)]
    facts += [("buried", clock(letter.time)), ("why", letter.reason)]
    facts += [("history" if place == 0 else "", line) for place, line in enumerate(letter.history)]
    facts += [("bytes", letter.raw[:200].hex(" "))] if letter.raw else []
    for name, value in facts:
        if value:
            table.add_row(name, value)
    return table
