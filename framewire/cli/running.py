"""Running a command's coroutine so that a signal ends it in order."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Coroutine
from typing import Any, TypeVar

_Result = TypeVar("_Result")
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stopped(Exception):
    """A signal asked the command to stop, and it has."""

    def __init__(self, number: signal.Signals) -> None:
        super().__init__(number.name)
        self.number = number

    @property
    def exit_code(self) -> int:
        """What shells expect of a process that a signal ended."""
        return 128 + self.number


def run_async(main: Coroutine[Any, Any, _Result]) -> _Result:
    """Run a coroutine. The first signal cancels it and, when it has tidied up, raises Stopped.

    The second one ends this process at once: what it leaves of a local stack, the stack's guardian ends.
    """
    return asyncio.run(_supervised(main))


async def _supervised(main: Coroutine[Any, Any, _Result]) -> _Result:
    received: list[signal.Signals] = []
    task = asyncio.ensure_future(main)

    def stop(number: signal.Signals) -> None:
        if received:
            os._exit(128 + number)
        received.append(number)
        task.cancel()

    loop = asyncio.get_running_loop()
    for number in _SIGNALS:
        loop.add_signal_handler(number, stop, number)
    try:
        return await task
    except asyncio.CancelledError:
        if received:
            raise Stopped(received[0]) from None
        raise
