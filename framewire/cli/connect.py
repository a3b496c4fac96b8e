"""Finding a gateway: the one that is named, or that of the local stack that runs."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from framewire.client import Client
from framewire.errors import ErrorCode, LocalError
from framewire.stack.folder import DataFolder, StackState
from framewire.stack.settings import default_data_folder

_STARTING_TIMEOUT = 120.0
_PAUSE = 0.2


async def running_stack(data: Path | None) -> StackState | None:
    """The stack that runs in the data folder, once it is ready; None when there is none."""
    folder = DataFolder(data or default_data_folder())
    deadline = time.monotonic() + _STARTING_TIMEOUT
    while True:
        state = folder.running()
        if state is None or state.ready or time.monotonic() > deadline:
            return state
        await asyncio.sleep(_PAUSE)


async def connect(server: str | None, data: Path | None) -> Client:
    """A client. Raises LocalError (STACK_NOT_RUNNING) when no server is named and no stack runs."""
    if server is not None:
        return Client(server)
    state = await running_stack(data)
    if state is None:
        raise LocalError(
            "no local stack is running; start one with `framewire up`, or name a gateway with --server",
            code=ErrorCode.STACK_NOT_RUNNING,
        )
    return Client(state.grpc)


async def rest_address(server: str | None, data: Path | None) -> str:
    """Where the gateway's REST interface is; `REST` when nobody here can know."""
    state = None if server is not None else await running_stack(data)
    return state.rest if state is not None else "REST"
