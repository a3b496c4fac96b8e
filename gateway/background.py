"""Work that goes on for as long as the gateway runs."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from framewire.errors import FramewireError
from framewire.lifecycle import end

_FIRST_PAUSE = 0.1
_LONGEST_PAUSE = 5.0
log = logging.getLogger(__name__)

Round = Callable[[], Awaitable[None]]


class Background:
    """Calls `round` again and again; after an error it pauses, longer each time until one succeeds.

    A round waits by itself, with a bound, until there is something to do.
    """

    def __init__(self, name: str, round_: Round) -> None:
        self._name = name
        self._round = round_
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin."""
        self._task = asyncio.create_task(self._run(), name=self._name)

    async def stop(self) -> None:
        """Cut the round that runs; rounds are made to be cut anywhere. Idempotent."""
        if self._task is not None:
            await end(self._task)
            self._task = None

    async def _run(self) -> None:
        pause = _FIRST_PAUSE
        while True:
            try:
                await self._round()
                pause = _FIRST_PAUSE
                continue
            except FramewireError as error:
                log.warning("%s: %s; again in %.1f s", self._name, error.message, pause)
            except Exception:
                log.exception("%s failed; again in %.1f s", self._name, pause)
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)
