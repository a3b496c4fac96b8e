"""Which models the model server has, loaded or not, and whether it answers at all."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from typing import Final

from coordinator.inference.control import ModelControl
from coordinator.inference.keeper import ModelKeeper
from framewire.bus.interface import ModelWish
from framewire.errors import FramewireError
from framewire.v1.step_pb2 import ModelInfo

log = logging.getLogger(__name__)

_ANSWER_LIMIT: Final = 10.0
_FIRST_ROUND: Final = 30.0
"""Seconds the start of a worker waits for models nobody knows yet to be loaded once; the rest go on behind it."""


class ModelWatch:
    """Looks every `interval` seconds, or when told to; `changed` is called when the answer is another one.

    Until every model has been known once, none is announced: half a list would have jobs refused that can be done.
    """

    def __init__(
        self, control: ModelControl, keeper: ModelKeeper, *, interval: float, changed: Callable[[], None]
    ) -> None:
        self._control = control
        self._keeper = keeper
        self._interval = interval
        self._changed = changed
        self._look_now = asyncio.Event()
        self._tend_now = asyncio.Event()
        self._asking: asyncio.Future[list[ModelInfo]] | None = None
        self._sweep_due = True
        self._first_round_done = False
        self._wishes: frozenset[ModelWish] = frozenset()
        self.models: tuple[ModelInfo, ...] = ()
        self.reachable = False

    async def start(self) -> None:
        """Look once, clear away what dead runners have left in the server's memory, and get to know its models."""
        await self._look()
        if self.reachable:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_FIRST_ROUND):
                    await self._tend()
            await self._look()

    async def run(self) -> None:
        """Keep looking until cancelled."""
        while True:
            if await self._told():
                self._sweep_due = True
            await self._look()

    async def tend(self) -> None:
        """Get to know new models and do what operators wish, until cancelled. Loading takes its time: not in `run`."""
        while True:
            await self._tend_now.wait()
            self._tend_now.clear()
            await self._tend()

    def look_now(self) -> None:
        """Look, and sweep, without waiting for the next time: a runner had trouble or was killed."""
        self._look_now.set()

    def wish(self, wishes: frozenset[ModelWish]) -> None:
        """What operators wish."""
        self._wishes = wishes
        self._tend_now.set()

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
            models = await self._ask()
        except (FramewireError, TimeoutError) as error:
            self._set((), reachable=False, why=str(error) or "no answer")
            self._sweep_due = True
        else:
            self._set(tuple(models) if self._first_round_done else (), reachable=True)
            self._tend_now.set()
            await self._sweep_if_due()

    async def _tend(self) -> None:
        try:
            await self._keeper.introduce()
            self._first_round_done = True
            await self._keeper.fulfil(self._wishes)
        except FramewireError as error:
            log.warning("models are not looked after: %s", error.message)

    async def _ask(self) -> list[ModelInfo]:
        """One question at a time: a thread that hangs in the last one is waited for again, not joined by another."""
        if self._asking is None:
            self._asking = asyncio.ensure_future(self._keeper.catalogue())
        await asyncio.wait({self._asking}, timeout=_ANSWER_LIMIT)
        if not self._asking.done():
            raise TimeoutError
        asking, self._asking = self._asking, None
        return asking.result()

    def _set(self, models: tuple[ModelInfo, ...], *, reachable: bool, why: str = "") -> None:
        if reachable == self.reachable and models == self.models:
            return
        names = [model.name for model in models]
        if not reachable and self.reachable:
            log.warning("the model server has gone, no gpu jobs are taken until it is back: %s", why)
        elif reachable and (not self.reachable or names != [model.name for model in self.models]):
            log.info("models: %s", ", ".join(names) or "none yet")
        self.models, self.reachable = models, reachable
        self._changed()

    async def _sweep_if_due(self) -> None:
        """The server refuses while a dead runner's last batch is still in its hands: then the next look tries again."""
        if not self._sweep_due:
            return
        try:
            async with asyncio.timeout(_ANSWER_LIMIT):
                await asyncio.to_thread(self._control.sweep_dead_regions)
        except (FramewireError, TimeoutError) as error:
            log.info("shared memory of dead runners is not swept yet: %s", error)
        else:
            self._sweep_due = False
