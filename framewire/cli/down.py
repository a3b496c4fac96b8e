"""`framewire down`."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import time
from pathlib import Path

import click

from framewire.cli.options import data_option, json_option
from framewire.cli.screen import Screen
from framewire.errors import ErrorCode, LocalError, Unavailable
from framewire.stack.folder import DataFolder
from framewire.stack.settings import default_data_folder

_TIMEOUT = 90.0
_PAUSE = 0.05


@click.command("down")
@data_option
@json_option
def command(data: Path | None, as_json: bool) -> None:
    """Stop the local stack that runs in the data folder, and wait until nothing of it is left."""
    folder = DataFolder(data or default_data_folder())
    state = folder.running()
    if state is None:
        raise LocalError(f"no local stack is running in {folder.root}", code=ErrorCode.STACK_NOT_RUNNING)
    deadline = time.monotonic() + _TIMEOUT
    if not (_terminate(state.pid, deadline) and _all_gone(folder, deadline)):
        raise Unavailable(f"the stack in {folder.root} has not stopped in time", code=ErrorCode.DEADLINE_EXCEEDED)
    Screen(as_json=as_json).show("stopped", {"stopped": {"pid": state.pid}})


def _terminate(pid: int, deadline: float) -> bool:
    """Ask the process to stop; whether it has, in time."""
    with contextlib.suppress(ProcessLookupError):
        descriptor = os.pidfd_open(pid)
        try:
            signal.pidfd_send_signal(descriptor, signal.SIGTERM)
            return bool(select.select([descriptor], [], [], max(0.0, deadline - time.monotonic()))[0])
        finally:
            os.close(descriptor)
    return True


def _all_gone(folder: DataFolder, deadline: float) -> bool:
    """Wait for what a supervisor that left at once, as when it is told to stop twice, leaves to its guardian."""
    while folder.locked():
        if time.monotonic() > deadline:
            return False
        time.sleep(_PAUSE)
    return True
