"""Options and arguments that several commands have."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click

from framewire.steps.inpaint import check_fillings
from framewire.steps.output import CODECS, CONTAINERS, PRESETS, check_output
from framewire.steps.parse import parse_step
from framewire.v1.job_pb2 import CONTAINER_UNSPECIFIED, VIDEO_CODEC_UNSPECIFIED, OutputSettings
from framewire.v1.step_pb2 import Step

_Command = TypeVar("_Command", bound=Callable[..., Any])
_ADDRESS = re.compile(r"(\[[0-9a-fA-F:]+\]|[A-Za-z0-9._-]+):\d{1,5}")


def _address(context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    if value is not None and not _ADDRESS.fullmatch(value):
        raise click.BadParameter(f"{value!r} is not of the form host:port")
    return value


def json_option(command: _Command) -> _Command:
    """`--json`."""
    return click.option("--json", "as_json", is_flag=True, help="One JSON object a line, errors too.")(command)


def data_option(command: _Command) -> _Command:
    """`--data FOLDER`."""
    return click.option(
        "--data",
        type=click.Path(file_okay=False, path_type=Path),
        help="Data folder of the local stack.  [default: below the user's data directory]",
    )(command)


def server_option(command: _Command) -> _Command:
    """`--server HOST:PORT`."""
    return click.option(
        "--server",
        metavar="HOST:PORT",
        callback=_address,
        help="gRPC address of a gateway.  [default: the local stack that runs in the data folder]",
    )(command)


def connection_options(command: _Command) -> _Command:
    """`--server`, `--data` and `--json`."""
    return server_option(data_option(json_option(command)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """Which gateway, and how to answer."""

    server: str | None = None
    data: Path | None = None
    as_json: bool = False


def connected(function: Callable[..., None]) -> Callable[..., None]:
    """`--server`, `--data` and `--json` as the first argument; what a group was given holds for its commands too."""

    def wrapper(
        context: click.Context, /, server: str | None, data: Path | None, as_json: bool, **arguments: object
    ) -> None:
        outer = context.obj if isinstance(context.obj, Connection) else Connection()
        context.obj = Connection(
            server=server or outer.server, data=data or outer.data, as_json=as_json or outer.as_json
        )
        function(context.obj, **arguments)

    functools.update_wrapper(wrapper, function)
    return connection_options(click.pass_context(wrapper))


def is_alone() -> bool:
    """Whether a group was called without one of its commands."""
    return click.get_current_context().invoked_subcommand is None


def step_option(command: _Command) -> _Command:
    """`--step NAME:KEY=VALUE,...`, in order; `read_steps` reads what it gives."""
    return click.option(
        "--step",
        "steps",
        metavar="NAME[:KEY=VALUE,...]",
        multiple=True,
        required=True,
        help="A step, e.g. enhance:scale=2. Repeat it for more; they run in this order.",
    )(command)


def read_steps(texts: tuple[str, ...]) -> list[Step]:
    """The steps. Raises InvalidRequest (STEP_UNKNOWN), StepError and InvalidRequest (STEP_INVALID).

    What can be seen to be wrong without a server is refused here, before a film goes up.
    """
    steps = [parse_step(text, read_file=_read_file) for text in texts]
    if any(step.HasField("cut_silence") for step in steps):
        from framewire.steps.cut_silence import check_cuts  # numpy comes with it, and most commands need none

        check_cuts(steps)
    check_fillings(steps)
    return steps


def _read_file(name: str) -> str:
    try:
        return Path(name).read_text()
    except OSError as error:
        raise ValueError(f"cannot read {name}: {error.strerror}") from None


_OUTPUT_OPTIONS = (
    click.option("--codec", type=click.Choice(list(CODECS)), help="Of the pictures.  [default: h264; av1 in webm]"),
    click.option(
        "--container",
        type=click.Choice(list(CONTAINERS)),
        help="Of the result.  [default: mp4; mkv or mov when that holds more of the tracks]",
    ),
    click.option("--crf", type=click.IntRange(0, 51), help="Quality: 0 is lossless, 51 the worst.  [default: 18]"),
    click.option("--preset", type=click.Choice(PRESETS), help="Slower makes smaller files.  [default: veryfast]"),
    click.option("--bit-depth", type=click.Choice(["8", "10"]), help="Bits a sample.  [default: the input's]"),
    click.option("--hardware", is_flag=True, help="Encode on the GPU where there is one that can."),
)


def output_options(command: Callable[..., None]) -> Callable[..., None]:
    """How the result is written, given to the command as `settings`."""

    def wrapper(
        *,
        codec: str | None,
        container: str | None,
        crf: int | None,
        preset: str | None,
        bit_depth: str | None,
        hardware: bool,
        **arguments: object,
    ) -> None:
        settings = OutputSettings(
            codec=CODECS.get(codec or "", VIDEO_CODEC_UNSPECIFIED),
            container=CONTAINERS.get(container or "", CONTAINER_UNSPECIFIED),
            crf=crf,
            preset=preset or "",
            bit_depth=int(bit_depth or 0),
            hardware=hardware,
        )
        check_output(settings)
        command(settings=settings, **arguments)

    functools.update_wrapper(wrapper, command)
    for option in reversed(_OUTPUT_OPTIONS):
        wrapper = option(wrapper)
    return wrapper
