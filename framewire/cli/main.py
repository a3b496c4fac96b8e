"""The `framewire` command, put together."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

import click

from framewire.cli.lazy import LazyCommands
from framewire.cli.running import Stopped
from framewire.cli.screen import Screen, output_lost
from framewire.errors import ErrorCode, FramewireError

# name -> (module, what `framewire --help` says of it): a command's module is imported when it is used
COMMANDS = {
    "up": ("framewire.cli.up", "Run the local stack until Ctrl-C."),
    "down": ("framewire.cli.down", "Stop the local stack."),
    "run": ("framewire.cli.run", "Upload a clip, run steps on it, download the result."),
    "estimate": ("framewire.cli.estimate", "Say what steps would make of a clip, without making it."),
    "submit": ("framewire.cli.submit", "Upload a clip and create a job, without waiting for it."),
    "watch": ("framewire.cli.watch", "Show a job's events, from the first, until it ends."),
    "get": ("framewire.cli.get", "Show one job; download its result."),
    "list": ("framewire.cli.list", "List jobs, newest first."),
    "cancel": ("framewire.cli.cancel", "Ask for a job to stop."),
    "retry": ("framewire.cli.retry", "Queue a failed job again."),
    "steps": ("framewire.cli.steps", "List the steps a job can be made of."),
    "models": ("framewire.cli.models", "Models: list, export, import, verify, bench."),
    "bench": ("framewire.cli.bench", "Run steps on a clip several times; show where the time of one frame goes."),
    "lanes": ("framewire.cli.lanes", "Show what waits and runs; pause and resume a lane."),
    "workers": ("framewire.cli.workers", "Show the workers; drain and resume one."),
    "dead": ("framewire.cli.dead", "Orders that will never be done: show, redrive, drop."),
    "autoscale": ("framewire.cli.autoscale", "Rent workers while a backlog is long, by commands of your own."),
    "doctor": ("framewire.cli.doctor", "Check this machine and say what is missing."),
}


class Commands(LazyCommands):
    """The commands of `framewire`."""

    modules = COMMANDS


@click.command(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Exit codes: 0 done, 1 an error (one line on stderr says which), 2 wrong usage, 130 stopped by Ctrl-C.",
)
@click.version_option(metadata.version("framewire"), prog_name="framewire")
def cli() -> None:
    """AI video on your own machines: upload a clip, say what should happen, watch it happen, download the result.

    \b
    Examples:
      framewire doctor
      framewire run holiday.mp4 --step enhance:scale=2 -o holiday-2x.mp4
      framewire up
      framewire submit holiday.mp4 --step enhance:scale=2
      framewire watch job_01jd...
    """


def main(arguments: Sequence[str] | None = None) -> None:
    """The program: never returns."""
    arguments = sys.argv[1:] if arguments is None else arguments
    _prepare_stdout()
    code = run(arguments)
    try:
        sys.stdout.flush()
    except OSError as error:  # nobody reads any more, or takes what the interpreter would flush at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if code == 0 and not isinstance(error, BrokenPipeError):
            Screen(as_json=False).failure(output_lost(error))
            code = 1
    sys.exit(code)


def _prepare_stdout() -> None:
    """Text that stdout's encoding does not have is written as `\\udcff`; a stdout that is closed takes everything."""
    if sys.stdout is None:
        sys.stdout = Path(os.devnull).open("w")  # noqa: SIM115 - for as long as the process lives
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def run(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit code."""
    screen = Screen(as_json="--json" in arguments)
    try:
        code = cli.main(list(arguments), prog_name="framewire", standalone_mode=False)
    except FramewireError as error:
        screen.failure(error)
        return 1
    except Stopped as stopped:
        screen.error(str(ErrorCode.CANCELLED), f"stopped by {stopped.number.name}")
        return stopped.exit_code
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return error.exit_code
    except click.ClickException as error:
        screen.error(str(ErrorCode.INVALID_ARGUMENT), f"{error.format_message()} (see {_help_of(error)})")
        return error.exit_code
    except BrokenPipeError:
        return 1
    except OSError as error:  # of click's own output, as for --help; what commands meet elsewhere is typed
        screen.failure(output_lost(error) if error.filename is None else FramewireError(str(error)))
        return 1
    except click.Abort:
        return 130
    return code if isinstance(code, int) else 0


def _help_of(error: click.ClickException) -> str:
    context = error.ctx if isinstance(error, click.UsageError) else None
    return f"`{context.command_path if context else 'framewire'} --help`"
