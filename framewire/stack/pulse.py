"""How the supervisor notices that a child which still runs does nothing any more.

A server that has a probe is asked by it. A process of Framewire's own is handed the writing end of a pipe
(FRAMEWIRE_ALIVE_FD), into which its event loop writes a byte a second.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

_MANY = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Vigil:
    """How often a child is looked at, and how many looks in a row may be in vain.

    Looks are counted, not seconds: when the supervisor itself, or the whole machine, was stopped for an hour, that
    counts as one.
    """

    pause: float = 3.0
    """Seconds between two looks."""
    looks: int = 5


class Heartbeat:
    """The pipe of one child. `close` when the child is gone; `close_writing` as soon as the child has its copy."""

    def __init__(self) -> None:
        self._reading, self.writing = os.pipe()
        os.set_blocking(self._reading, False)
        self._writing_open = self._reading_open = True

    async def beats(self) -> bool:
        """Whether the child has written since this was asked last."""
        found = False
        with contextlib.suppress(BlockingIOError):
            while os.read(self._reading, _MANY):
                found = True
        return found

    def close_writing(self) -> None:
        """This process's copy of the writing end. Idempotent."""
        if self._writing_open:
            os.close(self.writing)
            self._writing_open = False

    def close(self) -> None:
        """Both ends. Idempotent."""
        self.close_writing()
        if self._reading_open:
            os.close(self._reading)
            self._reading_open = False


async def silence(alive: Callable[[], Awaitable[bool]], vigil: Vigil) -> None:
    """Return once `vigil.looks` looks in a row have found no sign of life."""
    in_vain = 0
    while in_vain < vigil.looks:
        await asyncio.sleep(vigil.pause)
        in_vain = 0 if await alive() else in_vain + 1
