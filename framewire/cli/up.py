"""`framewire up`."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import click
from rich.live import Live
from rich.table import Table
from rich.text import Text

from framewire.cli.options import data_option, json_option
from framewire.cli.running import Stopped, run_async
from framewire.cli.screen import Screen
from framewire.environment import parse_size
from framewire.errors import LocalError
from framewire.stack.child import Child
from framewire.stack.folder import StackState
from framewire.stack.local import LocalStack
from framewire.stack.settings import StackSettings, default_data_folder
from framewire.stack.spec import Phase


class _Size(click.ParamType[int]):
    """Bytes, with a unit or without."""

    name = "size"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Bytes out of `4G`."""
        try:
            return parse_size(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


SIZE = _Size()
_PORT = click.IntRange(1, 65535)
_STYLES = {"ready": "green", "restarting": "red", "starting": "yellow"}


@click.command("up")
@data_option
@click.option("--grpc-port", type=_PORT, help="gRPC of the gateway.  [default: 7600 if it is free, else any]")
@click.option("--rest-port", type=_PORT, help="REST of the gateway.  [default: 7680 if it is free, else any]")
@click.option("--nats-port", type=_PORT, help="NATS.  [default: any]")
@click.option("--s3-port", type=_PORT, help="Object store.  [default: any]")
@click.option("--triton-port", type=_PORT, help="Triton's gRPC.  [default: any]")
@click.option("--slots", type=click.IntRange(1, 64), default=3, show_default=True, help="Jobs run at once.")
@click.option(
    "--model-memory", type=SIZE, help="Most that models may hold together: 4G.  [default: what GPU or memory allow]"
)
@json_option
def command(
    data: Path | None,
    grpc_port: int | None,
    rest_port: int | None,
    nats_port: int | None,
    s3_port: int | None,
    triton_port: int | None,
    slots: int,
    model_memory: int | None,
    as_json: bool,
) -> None:
    """Run NATS, an object store, Triton, the gateway and one worker on 127.0.0.1 until Ctrl-C.

    What dies is started again. The data stays in the data folder for the next time, logs in its folder `logs`. Nothing
    is left running when this ends, however it ends.

    \b
    Examples:
      framewire up
      framewire up --data /tmp/try --grpc-port 9000
    """
    settings = StackSettings(
        data=data or default_data_folder(),
        grpc_port=grpc_port,
        rest_port=rest_port,
        nats_port=nats_port,
        s3_port=s3_port,
        triton_port=triton_port,
        slots=slots,
        model_memory=model_memory,
        environment=os.environ,
    )
    with contextlib.suppress(Stopped):  # the way it is meant to end
        run_async(_up(settings, Screen(as_json=as_json)))


async def _up(settings: StackSettings, screen: Screen) -> None:
    view = StackView(screen)
    with view.drawn():
        stack = LocalStack(settings, changed=view.changed)
        view.stack = stack
        async with stack:
            view.ready(stack.state)
            await asyncio.Event().wait()  # until a signal cancels this


class StackView:
    """What runs where: a table that keeps itself up to date on a terminal, a line a change elsewhere."""

    def __init__(self, screen: Screen) -> None:
        self.stack: LocalStack | None = None
        self._screen = screen
        self._live: Live | None = None

    @contextlib.contextmanager
    def drawn(self) -> Iterator[None]:
        """Keep the table on the terminal inside."""
        if not self._screen.live:
            yield
            return
        with Live(console=self._screen.console, auto_refresh=False) as self._live:
            yield

    def changed(self, child: Child) -> None:
        """A server has changed."""
        if self._live:
            self._draw()
            if child.phase is Phase.RESTARTING:
                self._screen.words(Text.assemble((child.spec.name, "red"), f" {child.note}"))
        else:
            note = f": {child.note}" if child.note else ""
            pid = f" (process {child.pid})" if child.pid else ""
            record = {"name": child.spec.name, "phase": child.phase.value, "pid": child.pid, "note": child.note}
            self._screen.show(f"{child.spec.name} {child.phase}{pid}{note}", {"service": record})

    def ready(self, state: StackState) -> None:
        """All of them are ready."""
        self._screen.record({"stack": asdict(state)})
        if self._live:
            self._draw()
        else:
            self._screen.words(stack_table(state))
        self._screen.words(f"ready: gRPC {state.grpc}, REST {state.rest}; Ctrl-C stops it")

    def _draw(self) -> None:
        with contextlib.suppress(LocalError):  # a stack that is about to be gone has no state
            if self._live and self.stack:
                self._live.update(stack_table(self.stack.state), refresh=True)


def stack_table(state: StackState) -> Table:
    """What runs where."""
    table = Table(box=None, pad_edge=False)
    for heading in ("server", "state", "pid", "address", "log"):
        table.add_column(heading, no_wrap=True, overflow="ignore")
    for service in state.services:
        again = f" (restarts: {service.restarts})" if service.restarts else ""
        style = _STYLES.get(service.phase, "dim")
        phase = Text.assemble((service.phase, style), again)
        table.add_row(service.name, phase, str(service.pid or ""), service.address, service.log)
    return table
