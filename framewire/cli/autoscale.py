"""`framewire autoscale`."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import click

from framewire.bus.interface import Bus
from framewire.bus.nats import NatsBus, NatsSettings
from framewire.cli.connect import running_stack
from framewire.cli.options import data_option, json_option
from framewire.cli.running import run_async
from framewire.cli.screen import Screen
from framewire.errors import ErrorCode, LocalError, Unavailable
from framewire.jobs.scaling import Action, Scaling, ScalingRules, Sight
from framewire.stack.folder import DataFolder
from framewire.stack.servers import NATS_USER
from framewire.stack.settings import default_data_folder
from framewire.v1.step_pb2 import LANE_CPU, LANE_GPU, Lane

_LANES: Mapping[str, Lane.ValueType] = {"gpu": LANE_GPU, "cpu": LANE_CPU}
_STDERR = 2
_COMMAND_LIMIT = 900.0
"""Seconds a command may take to rent workers or give them back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Commands:
    """What rents workers and gives them back."""

    start: str
    stop: str


@click.command("autoscale")
@click.option("--lane", type=click.Choice(list(_LANES)), default="gpu", show_default=True, help="Whose backlog counts.")
@click.option("--start", metavar="CMD", required=True, help="Shell command that rents workers.")
@click.option("--stop", metavar="CMD", required=True, help="Shell command that gives them back.")
@click.option(
    "--above", metavar="N", type=click.IntRange(0), default=10, show_default=True, help="Rent when more wait."
)
@click.option(
    "--idle",
    metavar="SECONDS",
    type=click.FloatRange(0),
    default=300.0,
    show_default=True,
    help="Give back when there was nothing to do for so long.",
)
@click.option(
    "--boot",
    metavar="SECONDS",
    type=click.FloatRange(0),
    default=600.0,
    show_default=True,
    help="Rent again when no rented worker has appeared for so long.",
)
@click.option(
    "--every", metavar="SECONDS", type=click.FloatRange(0.1), default=5.0, show_default=True, help="Look so often."
)
@click.option(
    "--nats",
    metavar="URL",
    envvar="FRAMEWIRE_NATS_URL",
    show_envvar=True,
    help="Address of NATS.  [default: the local stack's]",
)
@data_option
@json_option
def command(
    lane: str,
    start: str,
    stop: str,
    above: int,
    idle: float,
    boot: float,
    every: float,
    nats: str | None,
    data: Path | None,
    as_json: bool,
) -> None:
    """Rent workers while a lane's backlog is long, and give them back when they have been idle.

    Rented workers are those started with --overflow-after. The commands run in a shell, with FRAMEWIRE_LANE and
    FRAMEWIRE_WAITING set; one that fails is run again at the next look. A worker that is ended while it runs a job
    gives the job back, and no attempt is lost.

    \b
    Example:
      framewire autoscale --above 10 --idle 600 \\
        --start 'aws ec2 start-instances --instance-ids i-0abc' \\
        --stop 'aws ec2 stop-instances --instance-ids i-0abc'
    """
    autoscaler = Autoscaler(
        _LANES[lane],
        ScalingRules(above=above, idle=idle, boot=boot),
        Commands(start=start, stop=stop),
        Screen(as_json=as_json),
    )
    run_async(_run(autoscaler, nats, data, every))


class Autoscaler:
    """Looks at one lane and runs commands."""

    def __init__(self, lane: Lane.ValueType, rules: ScalingRules, commands: Commands, screen: Screen) -> None:
        self._lane = lane
        self._scaling = Scaling(rules)
        self._commands = commands
        self._screen = screen

    async def look(self, bus: Bus) -> Action:
        """Look once, and do what follows. Raises Unavailable when the bus does not answer."""
        sight = await self._sight(bus)
        action = self._scaling.decide(sight)
        if action is not Action.NOTHING:
            await self._act(action, sight)
        return action

    async def _sight(self, bus: Bus) -> Sight:
        rented = [
            status
            for status in await bus.workers.live()
            if status.HasField("overflow_after") and self._lane in status.lanes
        ]
        return Sight(
            now=time.monotonic(),
            waiting=await bus.jobs.waiting(self._lane),
            rented=len(rented),
            running=sum(len(status.running_job_ids) for status in rented),
        )

    async def _act(self, action: Action, sight: Sight) -> None:
        name = Lane.Name(self._lane).removeprefix("LANE_").lower()
        text = self._commands.start if action is Action.START else self._commands.stop
        code = await _shell(text, {"FRAMEWIRE_LANE": name, "FRAMEWIRE_WAITING": str(sight.waiting)})
        how = "done" if code == 0 else f"failed with exit code {code}, tried again at the next look"
        self._screen.show(
            f"{action}: {sight.waiting} {name} jobs wait, {sight.rented} rented workers run {sight.running}: {how}",
            {
                "action": str(action),
                "lane": name,
                "waiting": sight.waiting,
                "rented": sight.rented,
                "running": sight.running,
                "exitCode": code,
            },
        )
        if code == 0:
            self._scaling.done(action, now=time.monotonic())


async def _run(autoscaler: Autoscaler, nats: str | None, data: Path | None, every: float) -> None:
    bus = await NatsBus.connect(NatsSettings(url=nats or await _local_nats(data), name="framewire autoscale"))
    try:
        while True:
            try:
                await autoscaler.look(bus)
            except Unavailable as error:
                sys.stderr.write(f"framewire: {error.code}: {error.message}; looking again\n")
            await asyncio.sleep(every)
    finally:
        await bus.close()


async def _local_nats(data: Path | None) -> str:
    """The address of the local stack's NATS. Raises LocalError (STACK_NOT_RUNNING)."""
    state = await running_stack(data)
    if state is None:
        raise LocalError(
            "no local stack is running; start one with `framewire up`, or name a NATS server with --nats",
            code=ErrorCode.STACK_NOT_RUNNING,
        )
    (address,) = [service.address for service in state.services if service.name == "nats"]
    return f"nats://{NATS_USER}:{DataFolder(data or default_data_folder()).keys().nats_password}@{address}"


async def _shell(text: str, facts: Mapping[str, str]) -> int:
    """Run a command in a session of its own and return its exit code. What it prints goes to stderr."""
    process = await asyncio.create_subprocess_shell(
        text, env={**os.environ, **facts}, stdin=asyncio.subprocess.DEVNULL, stdout=_STDERR, start_new_session=True
    )
    try:
        async with asyncio.timeout(_COMMAND_LIMIT):
            return await process.wait()
    except TimeoutError:
        return 128 + signal.SIGKILL
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
