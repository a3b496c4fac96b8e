"""`framewire models`: the exporters' commands, and what is in the repositories.

The exporters are a program of their own, with torch in it; the library does not import them. Their commands run as a
child process that writes to the same terminal and gets the signals this one gets.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys

import click

from framewire.cli import models_memory
from framewire.cli.running import run_async
from framewire.stack import launch

_PROGRAM = "exporters"
_STOP_TIMEOUT = 30.0
# name -> what `framewire models --help` says of it
_COMMANDS = {
    "list": "What is in the repositories: loaded or not, memory, licence.",
    "export": "Write the built-in models into a repository, or check that it holds them.",
    "import": "Bring in a checkpoint (.pth, .safetensors) or an .onnx from elsewhere.",
    "verify": "Prove a model again, and measure its quality beside bicubic.",
    "bench": "Measure a model's speed by batch and size.",
    "tensorrt": "Build a TensorRT plan for this machine's GPU.",
}


class Commands(click.Group):
    """A group whose commands are the exporters'; --help is theirs too."""

    def list_commands(self, context: click.Context) -> list[str]:
        """In the order people meet them."""
        return [*_COMMANDS, *super().list_commands(context)]

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        """A command that hands everything on."""
        return _handed_on(name, _COMMANDS[name]) if name in _COMMANDS else super().get_command(context, name)


@click.command("models", cls=Commands)
def command() -> None:
    """Models: what there is, and how more come in.

    \b
    Examples:
      framewire models list
      framewire models import 4x-photo.pth --license CC-BY-4.0 --name photo_x4
      framewire run holiday.mp4 --step enhance:model=photo_x4 -o holiday-4x.mp4
      framewire models verify photo_x4 holiday.mp4 --sheet before-after.png
    """


command.add_command(models_memory.load)
command.add_command(models_memory.unload)


def _handed_on(name: str, words: str) -> click.Command:
    def callback(arguments: tuple[str, ...]) -> int:
        return run_async(_run(name, arguments))

    return click.Command(
        name,
        callback=callback,
        params=[click.Argument(["arguments"], nargs=-1, type=click.UNPROCESSED)],
        context_settings={"ignore_unknown_options": True},
        add_help_option=False,
        short_help=words,
        help=words,
    )


async def _run(name: str, arguments: tuple[str, ...]) -> int:
    """Its exit code. When this is cancelled, it is stopped, and has tidied up before this returns."""
    process = await asyncio.create_subprocess_exec(
        # it ends with this process, however that ends
        *(sys.executable, "-I", "-S", launch.__file__, str(os.getpid())),
        *(sys.executable, "-P", "-m", _PROGRAM, name, *arguments),
        env={**os.environ, "FRAMEWIRE_PROGRAM": "framewire models"},
        process_group=0,  # Ctrl-C on the terminal comes here, and from here to it: once
    )
    try:
        return await process.wait()
    except asyncio.CancelledError:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(process.wait(), _STOP_TIMEOUT)
        except TimeoutError:
            process.kill()
            await process.wait()
        raise
