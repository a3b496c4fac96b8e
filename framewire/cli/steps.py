"""`framewire steps`."""

from __future__ import annotations

from pathlib import Path

import click
from rich.text import Text

from framewire.cli.connect import connect
from framewire.cli.options import connection_options
from framewire.cli.running import run_async
from framewire.cli.screen import Screen, as_record
from framewire.v1.step_pb2 import Lane, StepInfo, StepParameter


@click.command("steps")
@connection_options
def command(server: str | None, data: Path | None, as_json: bool) -> None:
    """List the steps a job can be made of, their parameters, and the models that are served now."""
    run_async(_steps(server, data, Screen(as_json=as_json)))


async def _steps(server: str | None, data: Path | None, screen: Screen) -> None:
    async with await connect(server, data) as client:
        for step in await client.steps():
            screen.show(_words(step), {"step": as_record(step)})


def _words(step: StepInfo) -> Text:
    lane = Lane.Name(step.lane).removeprefix("LANE_").lower()
    lines = [f"  {parameter.name}: {_parameter(parameter)}" for parameter in step.parameters]
    lines += [f"  model {model.name} (x{model.scale}, {model.license}): {model.description}" for model in step.models]
    return Text.assemble((step.name, "bold"), f" (lane {lane}): {step.description}", *(f"\n{line}" for line in lines))


def _parameter(parameter: StepParameter) -> str:
    facts = (parameter.type, parameter.rule, f"default {parameter.default_value}" if parameter.default_value else "")
    return ", ".join(fact for fact in facts if fact) + f". {parameter.description}"
