"""Work that goes on for as long as the gateway runs."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable

from framewire.errors import FramewireError
from framewire.lifecycle import end

_FIRST_PAUSE = 0.1
_LONGEST_PAUSE = 5.0
_MOMENT = 1.0
log = logging.getLogger(__name__)

Round = Callable[[], Awaitable[None]]


class Background:
    """Calls `round` again and again; after an error it pauses, longer each time until one succeeds.

    A round waits by itself, with a bound, until there is something to do; one that looks at things `every` so many
    seconds does not wait, and is given a moment to finish when everything stops.
    """

    def __init__(self, name: str, round_: Round, *, every: float = 0.0) -> None:
        self._name = name
        self._round = round_
        self._every = every
        self._stopping = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin."""
        self._stopping.clear()
        self._task = asyncio.create_task(self._run(), name=self._name)

    async def stop(self) -> None:
        """Cut the round that runs; rounds are made to be cut anywhere. Idempotent."""
        if self._task is not None:
            self._stopping.set()
            if self._every:
                await asyncio.wait({self._task}, timeout=_MOMENT)
            await end(self._task)
            self._task = None

    async def _run(self) -> None:
        pause = _FIRST_PAUSE
        while not self._stopping.is_set():
            try:
                await self._round()
                pause = _FIRST_PAUSE
                await self._wait(self._every)
                continue
            except FramewireError as error:
                log.warning("%s: %s; again in %.1f s", self._name, error.message, pause)
            except Exception:
                log.exception("%s failed; again in %.1f s", self._name, pause)
            await self._wait(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)

    async def _wait(self, seconds: float) -> None:
        """Wait; not at all once everything stops."""
        if seconds:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._stopping.wait()
