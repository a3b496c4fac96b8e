"""Loading and unloading at the model server, and saying so in its book."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from coordinator.inference import entries
from coordinator.inference.control import ModelControl
from coordinator.inference.shared_book import SharedBook
from framewire.errors import StepError
from framewire.models import book as rules
from framewire.models.book import Go
from framewire.steps.contract import ModelContract
from framewire.work.v1.work_pb2 import ModelBook

log = logging.getLogger(__name__)


@dataclass(slots=True)
class ModelCounters:
    """What this worker has done to its server's models since it started."""

    loads: int = 0
    unloads: int = 0
    evictions: int = 0
    waiting: int = 0


class ModelChanges:
    """One worker's changes, and how many there were."""

    def __init__(self, control: ModelControl, book: SharedBook, *, holder: str) -> None:
        """`holder`: as whom the worker is in the book."""
        self._control = control
        self._book = book
        self._holder = holder
        self.counters = ModelCounters()

    async def carry_out(self, decision: Go) -> None:
        """Do what the book says that this worker does. Raises StepError, Unavailable."""
        try:
            for name in decision.evict:
                await self._unload(name, eviction=True)
            await self.load(decision.load)
        finally:
            await self._book.edit(lambda book: entries.not_changing(book, (*decision.load, *decision.evict)))

    async def _unload(self, name: str, *, eviction: bool) -> None:
        await asyncio.to_thread(self._control.unload, name)
        self.counters.unloads += 1
        self.counters.evictions += eviction
        log.info("model %s unloaded%s", name, " to make room" if eviction else "")

    async def load(self, names: Iterable[str]) -> None:
        """Load them, or load them anew, and note what they are and hold. Raises StepError for one that is refused."""
        for name in names:
            began = time.monotonic()
            try:
                contract = await asyncio.to_thread(self._control.load, name)
                held = await asyncio.to_thread(self._measure_new, contract)
            except StepError as error:
                reason = error.message
                await self._book.edit(lambda book, name=name, reason=reason: entries.refuse(book, name, reason))  # type: ignore[misc]
                raise
            self.counters.loads += 1
            await self._book.edit(lambda book, contract=contract, held=held: entries.know(book, contract, held))  # type: ignore[misc]
            log.info("model %s loaded in %.1f s, %.0f MiB", name, time.monotonic() - began, held / (1 << 20))

    def _measure_new(self, contract: ModelContract) -> int:
        self._control.warm_up(contract)
        return self._control.memory(contract.name) or contract.memory_bytes

    async def unload_idle(self, names: Iterable[str], *, eviction: bool) -> None:
        """Those of them that nobody uses or keeps."""
        loaded = await self.loaded()
        wanted = set(names)

        def claim(book: ModelBook) -> list[str]:
            chosen = [name for name in rules.idle(book, loaded) if name in wanted]
            for name in chosen:
                model = rules.entry(book, name)
                model.changing, model.unwanted = self._holder, False
            return chosen

        chosen = await self._book.edit(claim) if wanted & loaded else []
        try:
            for name in chosen:
                await self._unload(name, eviction=eviction)
        finally:
            if chosen:
                await self._book.edit(lambda book: entries.not_changing(book, chosen))

    async def models(self) -> Mapping[str, bool]:
        """Every model of the server, and whether it is loaded."""
        return await asyncio.to_thread(self._control.models)

    async def loaded(self) -> set[str]:
        """The models the server holds now."""
        return those_loaded(await self.models())


def those_loaded(models: Mapping[str, bool]) -> set[str]:
    """The names of those that are."""
    return {name for name, is_loaded in models.items() if is_loaded}
