"""`framewire models load` and `unload`: by hand what workers do when jobs need it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence

import click

from framewire.cli.connect import connect
from framewire.cli.options import Connection, connected
from framewire.cli.running import run_async
from framewire.cli.screen import Screen
from framewire.cli.words import size
from framewire.client import Client
from framewire.errors import ErrorCode, StepError, Unavailable
from framewire.v1.operations_pb2 import RefusedModel, Worker
from framewire.v1.step_pb2 import ModelInfo

_LOADING = 120.0
_UNLOADING = 10.0
"""Seconds until what workers announce is not waited for any longer."""
_LOOK_AGAIN = 0.5


@click.command("load")
@click.argument("model")
@connected
def load(connection: Connection, model: str) -> None:
    """Load MODEL, anew when its files have changed, and keep it loaded until `unload`.

    It counts against what models may hold together; jobs that need others have to do with the rest.

    \b
    Examples:
      framewire models load enhance_x2
    """
    run_async(_load(connection, model))


@click.command("unload")
@click.argument("model")
@connected
def unload(connection: Connection, model: str) -> None:
    """Unload MODEL as soon as no job uses it. The next job that needs it has it loaded again.

    \b
    Examples:
      framewire models unload enhance_x2
    """
    run_async(_unload(connection, model))


async def _load(connection: Connection, name: str) -> None:
    screen = Screen(as_json=connection.as_json)
    async with await connect(connection.server, connection.data) as client:
        before = await _refusals(client, name)
        await client.operations.load_model(name)
        model = await _loaded(client, name, before)
    if model is None:
        message = f"{name} is not loaded yet: no worker answers, or there is no room; `framewire workers` says which"
        raise Unavailable(message, code=ErrorCode.INFERENCE_UNAVAILABLE)
    screen.show(f"{name} is loaded and stays so: {size(model.memory_bytes)}", {"model": name, "loaded": True})


async def _unload(connection: Connection, name: str) -> None:
    screen = Screen(as_json=connection.as_json)
    async with await connect(connection.server, connection.data) as client:
        await client.operations.unload_model(name)
        gone = await _seen(
            client, lambda worker: _model(worker, name, lambda model: not model.loaded), within=_UNLOADING
        )
    word = "is not loaded any more" if gone else "goes as soon as no job uses it"
    screen.show(f"{name} {word}", {"model": name, "loaded": gone is None})


async def _loaded(client: Client, name: str, before: Sequence[RefusedModel]) -> ModelInfo | None:
    """The model once it is loaded and kept; None when that takes too long. Raises StepError with a worker's reason."""

    def right(worker: Worker) -> ModelInfo | None:
        for refused in worker.model_memory.refused:
            if refused.name == name and refused not in before:
                raise StepError(refused.reason, code=ErrorCode(refused.code))
        return _model(worker, name, lambda model: model.loaded and model.pinned)

    return await _seen(client, right, within=_LOADING)


async def _refusals(client: Client, name: str) -> list[RefusedModel]:
    """What workers have said against it, each with its time."""
    workers = await client.operations.workers()
    return [refused for worker in workers for refused in worker.model_memory.refused if refused.name == name]


def _model(worker: Worker, name: str, right: Callable[[ModelInfo], bool]) -> ModelInfo | None:
    return next((model for model in worker.models if model.name == name and right(model)), None)


async def _seen(client: Client, right: Callable[[Worker], ModelInfo | None], *, within: float) -> ModelInfo | None:
    """What `right` finds at the first worker where it finds anything; None when that does not come in time."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(within):
            while True:
                for worker in await client.operations.workers():
                    if found := right(worker):
                        return found
                await asyncio.sleep(_LOOK_AGAIN)
    return None
