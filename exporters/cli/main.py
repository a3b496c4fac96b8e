"""The exporters' command line, put together.

A command is imported when it is used: torch takes seconds, and --help must not need it.
"""

from __future__ import annotations

import signal
from collections.abc import Sequence
from types import FrameType

import click

from framewire.cli.lazy import LazyCommands
from framewire.cli.screen import Screen
from framewire.errors import ErrorCode, FramewireError, LocalError

# name -> (module, what --help says of it)
COMMANDS = {
    "export": ("exporters.cli.export", "Write the built-in models into a repository, or check that it holds them."),
    "import": ("exporters.cli.bring_in", "Bring in a checkpoint or an ONNX file from elsewhere."),
    "list": ("exporters.cli.list", "What is in the repositories: loaded or not, memory, licence."),
    "verify": ("exporters.cli.verify", "Prove a model again, and measure its quality beside bicubic."),
    "bench": ("exporters.cli.bench", "Measure a model's speed by batch and size."),
    "tensorrt": ("exporters.cli.tensorrt", "Build a TensorRT plan for this machine's GPU."),
}
_EXTRA = {"torch", "torchvision", "spandrel", "safetensors", "onnx", "onnxruntime", "PIL"}
_INSTALL = "install it with `pip install 'framewire[export]'`, or in a checkout with `make venv-test`"


class Commands(LazyCommands):
    """The exporters' commands; arguments that name none go to `export`."""

    modules = COMMANDS

    def parse_args(self, context: click.Context, args: list[str]) -> list[str]:
        """`python -m exporters [--check] [MODEL...]` is `python -m exporters export ...`."""
        if not args or (args[0] not in COMMANDS and args[0] not in ("-h", "--help")):
            args = ["export", *args]
        return super().parse_args(context, args)


@click.command(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
def cli() -> None:
    """Models: declared here or brought in, exported, proven, measured. Without a command: export all."""


def main(arguments: Sequence[str], *, name: str = "python -m exporters") -> int:
    """Run one command line; returns its exit code. A signal ends it in order: nothing half done is left behind."""
    screen = Screen(as_json="--json" in arguments)
    previous = {number: signal.signal(number, _interrupt) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        code = cli.main(list(arguments), prog_name=name, standalone_mode=False)
    except FramewireError as error:
        screen.failure(error)
        return 1
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in _EXTRA:
            raise
        screen.failure(LocalError(f"this needs {error.name}: {_INSTALL}", code=ErrorCode.TOOL_MISSING))
        return 1
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return error.exit_code
    except click.ClickException as error:
        help_of = error.ctx.command_path if isinstance(error, click.UsageError) and error.ctx else name
        screen.error(str(ErrorCode.INVALID_ARGUMENT), f"{error.format_message()} (see `{help_of} --help`)")
        return error.exit_code
    except (KeyboardInterrupt, click.Abort):
        screen.error(str(ErrorCode.CANCELLED), "stopped; nothing was changed")
        return 130
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
    return code if isinstance(code, int) else 0


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
