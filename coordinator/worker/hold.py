"""Keeps hold of a delivered order: says often enough that it is still worked on."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable

from coordinator.worker.patience import once, patiently
from coordinator.worker.tools import Tools
from framewire.bus.interface import Delivery
from framewire.errors import Unavailable
from framewire.lifecycle import end

log = logging.getLogger(__name__)


class Hold:
    """A delivery, or the newest of several of the same order: the queue repeats itself when signs of life get lost."""

    def __init__(self, delivery: Delivery, tools: Tools) -> None:
        self.delivery = delivery
        self._tools = tools
        self._released = False

    async def ack(self) -> None:
        """Remove the order. Raises Unavailable when the queue stays away."""
        await patiently(lambda: self.delivery.ack(), patience=self._tools.settings.patience)
        self._released = True

    async def retry(self, delay: float) -> None:
        """Give the order back. Raises Unavailable when the queue stays away."""
        await patiently(lambda: self.delivery.retry(delay), patience=self._tools.settings.patience)
        self._released = True

    @contextlib.asynccontextmanager
    async def kept(self, cancel: Callable[[], None]) -> AsyncIterator[None]:
        """Keep the order inside the block; `cancel` is called when somebody has asked for the job to stop."""
        keeping = asyncio.create_task(self._keep(cancel), name="keep hold")
        try:
            yield
        finally:
            await end(keeping)

    async def _keep(self, cancel: Callable[[], None]) -> None:
        while not self._released:
            try:
                await once(lambda: self.delivery.in_progress(), limit=self._tools.settings.heartbeat)
                # the watch on cancellations is quick but may miss one while the connection is lost
                if await once(self._is_cancelled, limit=self._tools.settings.heartbeat):
                    cancel()
            except Unavailable as error:
                log.warning("no sign of life could be given: %s", error.message)
            await asyncio.sleep(self._tools.settings.heartbeat)

    async def _is_cancelled(self) -> bool:
        return await self._tools.bus.cancellations.is_requested(self.delivery.order.job_id)
