"""How a process tells whoever started it that it is ready and alive, and how it learns that it should stop."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import os
import signal
from collections.abc import Awaitable, Mapping
from typing import Any

READY_FD = "FRAMEWIRE_READY_FD"
ALIVE_FD = "FRAMEWIRE_ALIVE_FD"
_AGAIN = 1.0
_BEAT = 1.0


def notify_ready(variables: Mapping[str, str], **facts: object) -> None:
    """Write one line of JSON to the descriptor FRAMEWIRE_READY_FD names, and close it; nothing when there is none."""
    descriptor = variables.get(READY_FD)
    if descriptor:
        with contextlib.suppress(BrokenPipeError), os.fdopen(int(descriptor), "w") as pipe:
            pipe.write(json.dumps(facts) + "\n")


def show_life(variables: Mapping[str, str]) -> None:
    """From now on the running loop writes a byte a second to the descriptor FRAMEWIRE_ALIVE_FD names, while it turns.

    Nothing when there is none. Ends with the loop, or when nobody reads any more.
    """
    if named := variables.get(ALIVE_FD):
        descriptor = int(named)
        os.set_inheritable(descriptor, False)
        os.set_blocking(descriptor, False)
        _beat(asyncio.get_running_loop(), descriptor)


def _beat(loop: asyncio.AbstractEventLoop, descriptor: int) -> None:
    try:
        os.write(descriptor, b".")
    except BlockingIOError:
        pass  # whoever reads has a day's worth to read
    except OSError:
        return
    loop.call_later(_BEAT, _beat, loop, descriptor)


async def end(task: asyncio.Future[Any]) -> None:
    """Cancel a task and wait until it has ended; how it ended is left to whoever asks it.

    Again every second: a library that waits with asyncio.wait_for, as the one for NATS does, swallows a cancellation
    that meets an answer (Python 3.11), and the task goes on as if nobody had asked.
    """
    while not task.done():
        task.cancel()
        await asyncio.wait({task}, timeout=_AGAIN)
    if not task.cancelled():
        task.exception()  # asked for, or asyncio logs an error of a task that nobody waits for any more


async def together(*parts: Awaitable[Any]) -> None:
    """Wait for all of them. When one fails, the others are cancelled and have ended before its error is raised.

    So they are when the caller is cancelled, also a part that swallows its cancellation (see `end`): gather would wait
    until that has come to its own end.
    """
    tasks = [asyncio.ensure_future(part) for part in parts]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
        failed = [task for task in tasks if task.done() and (task.cancelled() or task.exception())]
    finally:
        for task in tasks:
            task.cancel()
        for task in tasks:
            await end(task)
    for task in failed:
        task.result()


def settle_memory() -> None:
    """Call once, when a process has loaded what it needs: later garbage collections leave that alone, and are rarer.

    What a server makes for each call is nearly all freed by counting. Looking through everything every 700 objects
    finds nothing, and costs a tenth of its time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


def stop_event() -> asyncio.Event:
    """An event of the running loop that SIGTERM and SIGINT set."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    return stop


async def first_of(*events: asyncio.Event) -> None:
    """Wait until one of the events is set."""
    waiting = [asyncio.create_task(event.wait()) for event in events]
    try:
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in waiting:
            task.cancel()
