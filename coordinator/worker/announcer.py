"""Tells the board of workers that this one lives and what it can do."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable

from coordinator.worker.patience import once
from framewire.bus.interface import Workers
from framewire.errors import Unavailable
from framewire.work.v1.work_pb2 import WorkerStatus

log = logging.getLogger(__name__)


class Announcer:
    """Announces every `interval` seconds, and at once when `poke`d."""

    def __init__(self, workers: Workers, status: Callable[[], WorkerStatus], *, interval: float) -> None:
        self._workers = workers
        self._status = status
        self._interval = interval
        self._poked = asyncio.Event()

    def poke(self) -> None:
        """Something has changed."""
        self._poked.set()

    async def announce(self) -> None:
        """Announce once. Raises Unavailable when the bus does not answer."""
        await once(lambda: self._workers.announce(self._status()))

    async def run(self) -> None:
        """Announce until cancelled; a bus that is away is tried again the next time."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._interval):
                    await self._poked.wait()
            self._poked.clear()
            try:
                await self.announce()
            except Unavailable as error:
                log.warning("not announced: %s", error.message)

    async def withdraw(self) -> None:
        """Take the announcement back. One that cannot be is forgotten by itself."""
        with contextlib.suppress(Unavailable):
            await once(lambda: self._workers.withdraw(self._status().worker), limit=1.0)
