"""Which models the model server serves now, and whether it answers at all."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final, Protocol

from framewire.errors import FramewireError
from framewire.steps.contract import ModelContract
from framewire.v1.step_pb2 import ModelInfo

log = logging.getLogger(__name__)

_ANSWER_LIMIT: Final = 10.0


class ModelServer(Protocol):
    """The part of a model server's client a worker needs. Blocking."""

    def models(self) -> list[ModelContract]:
        """Contracts of all models that are served now. Raises Unavailable when the server does not answer."""

    def sweep_dead_regions(self) -> object:
        """Unregister shared memory that runners which are dead have left behind."""

    def close(self) -> None:
        """Disconnect. Idempotent."""


class ModelWatch:
    """Looks every `interval` seconds, or when told to; `changed` is called when the answer is another one."""

    def __init__(self, server: ModelServer, *, interval: float, changed: Callable[[], None]) -> None:
        self._server = server
        self._interval = interval
        self._changed = changed
        self._look_now = asyncio.Event()
        self._asking: asyncio.Future[list[ModelContract]] | None = None
        self._sweep_due = True
        self.models: tuple[ModelInfo, ...] = ()
        self.reachable = False

    async def start(self) -> None:
        """Look once and clear away what dead runners have left in the server's memory."""
        await self._look()

    async def run(self) -> None:
        """Keep looking until cancelled."""
        while True:
            if await self._told():
                self._sweep_due = True
            await self._look()

    def look_now(self) -> None:
        """Look, and sweep, without waiting for the next time: a runner had trouble or was killed."""
        self._look_now.set()

    async def _told(self) -> bool:
        """Wait for the next time to look; True when somebody asked for it."""
        try:
            async with asyncio.timeout(self._interval):
                await self._look_now.wait()
        except TimeoutError:
            return False
        self._look_now.clear()
        return True

    async def _look(self) -> None:
        try:
            contracts = await self._ask()
        except (FramewireError, TimeoutError) as error:
            self._set((), reachable=False, why=str(error) or "no answer")
            self._sweep_due = True
        else:
            self._set(tuple(contract.to_proto() for contract in contracts), reachable=True)
            await self._sweep_if_due()

    async def _ask(self) -> list[ModelContract]:
        """One question at a time: a thread that hangs in the last one is waited for again, not joined by another."""
        if self._asking is None:
            self._asking = asyncio.ensure_future(asyncio.to_thread(self._server.models))
        await asyncio.wait({self._asking}, timeout=_ANSWER_LIMIT)
        if not self._asking.done():
            raise TimeoutError
        asking, self._asking = self._asking, None
        return asking.result()

    def _set(self, models: tuple[ModelInfo, ...], *, reachable: bool, why: str = "") -> None:
        if reachable != self.reachable or (models != self.models):
            if reachable:
                log.info("models served: %s", ", ".join(model.name for model in models) or "none")
            else:
                log.warning("the model server has gone, no gpu jobs are taken until it is back: %s", why)
            self.models, self.reachable = models, reachable
            self._changed()

    async def _sweep_if_due(self) -> None:
        """The server refuses while a dead runner's last batch is still in its hands: then the next look tries again."""
        if not self._sweep_due:
            return
        try:
            async with asyncio.timeout(_ANSWER_LIMIT):
                await asyncio.to_thread(self._server.sweep_dead_regions)
        except (FramewireError, TimeoutError) as error:
            log.info("shared memory of dead runners is not swept yet: %s", error)
        else:
            self._sweep_due = False
