"""The supervisor's hold on its guardian (guardian.py): starts it, tells it about children, replaces it when it dies."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from dataclasses import dataclass
from pathlib import Path

from framewire.stack import guardian

GRACE = 8.0
_PAUSE = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardSettings:
    """What a guardian has to know beforehand."""

    marker: str
    """Value of FRAMEWIRE_STACK in every child's environment."""
    shm_prefix: str
    """What the names of the stack's shared-memory files start with."""
    state_file: Path
    """Removed at the end."""
    log: Path
    lock: int | None = None
    """Descriptor of the data folder's lock, which the guardian holds too: nobody starts a stack there meanwhile."""
    grace: float = GRACE
    """Seconds children have from TERM to KILL."""


class Guard:
    """A guardian that is alive from `start` until `stop`."""

    def __init__(self, settings: GuardSettings) -> None:
        self._settings = settings
        self._sessions: set[int] = set()
        self._pipe: int | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._watch: asyncio.Task[None] | None = None
        self.replaced = asyncio.Event()
        """Set when a guardian that died has got its successor."""

    @property
    def pid(self) -> int | None:
        """The guardian's process id; None when there is none."""
        return self._process.pid if self._process else None

    async def start(self) -> None:
        """Start the guardian and keep one alive."""
        await self._spawn()
        self._watch = asyncio.create_task(self._replace_when_dead())

    def add(self, session: int) -> None:
        """A child leads this session."""
        self._sessions.add(session)
        self._tell(f"+{session}\n")

    def remove(self, session: int) -> None:
        """Nothing is left of this session."""
        self._sessions.discard(session)
        self._tell(f"-{session}\n")

    async def stop(self) -> None:
        """Let the guardian tidy up what is left and wait for it, with a bound. Idempotent."""
        if self._watch:
            self._watch.cancel()
            await asyncio.wait([self._watch])
        self._close_pipe()
        if self._process is None:
            return
        try:
            async with asyncio.timeout(self._settings.grace + 10):
                await self._process.wait()
        except TimeoutError:
            self._process.kill()
        self._process = None

    async def _spawn(self) -> None:
        self._close_pipe()
        settings = self._settings
        reading, self._pipe = os.pipe()
        try:
            with settings.log.open("ab") as log:
                self._process = await asyncio.create_subprocess_exec(
                    *(sys.executable, "-I", "-S", guardian.__file__),
                    *(settings.marker, settings.shm_prefix, str(settings.state_file), str(settings.grace)),
                    stdin=reading,
                    stdout=log,
                    stderr=log,
                    env={},  # the marker must not be in it: a guardian does not end itself
                    pass_fds=() if settings.lock is None else (settings.lock,),
                    start_new_session=True,
                )
        finally:
            os.close(reading)
        self._tell("".join(f"+{session}\n" for session in self._sessions))

    async def _replace_when_dead(self) -> None:
        while self._process:
            await self._process.wait()
            await asyncio.sleep(_PAUSE)  # one that cannot live must not be started in a tight loop
            await self._spawn()
            self.replaced.set()

    def _tell(self, text: str) -> None:
        if self._pipe is not None and text:
            with contextlib.suppress(BrokenPipeError):  # it is dead; its successor is told everything
                os.write(self._pipe, text.encode())

    def _close_pipe(self) -> None:
        if self._pipe is not None:
            os.close(self._pipe)
            self._pipe = None
