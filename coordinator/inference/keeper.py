"""Keeps the models jobs need loaded, and the memory of all that are loaded within a budget.

Several workers share a model server and trust its book (framewire/models/book.py): a model is used under a lease, and
loaded or unloaded by whom the book names. Who dies leaves nothing behind: what a worker that is not announced any more
has in the book does not count.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import Final

from coordinator.inference import entries
from coordinator.inference.changes import ModelChanges, those_loaded
from coordinator.inference.control import ModelControl
from coordinator.inference.shared_book import SharedBook
from framewire.bus.interface import ModelBooks, ModelWish, Workers
from framewire.errors import ErrorCode, FramewireError, StepError, Unavailable
from framewire.models import book as rules
from framewire.models.book import Demand, Go, Never, Wait
from framewire.v1.operations_pb2 import ModelMemory, RefusedModel
from framewire.v1.step_pb2 import ModelInfo
from framewire.work.v1.work_pb2 import ModelBook, ModelLease

log = logging.getLogger(__name__)
Told = Callable[[str], Awaitable[None]]
"""Is told, once each, what a job waits for."""

_LOOK_AGAIN: Final = 2.0
"""Seconds until a book that has not changed is looked at again: holders die without a word."""
_UNUSABLE: Final = 16
"""Models that are told of at most besides those the book says cannot be used."""
_LAST_CHANGES: Final = 2.0
"""Seconds a worker that stops waits for a model that is being loaded."""


class ModelKeeper:
    """One worker's hand in the book of its model server. `start` first; `close` gives back what it holds."""

    def __init__(
        self, control: ModelControl, books: ModelBooks, workers: Workers, *, worker: str, budget: int | None = 0
    ) -> None:
        """`budget`: bytes that models may hold together; 0: as many as they like; None: what the machine allows."""
        self._control = control
        self._book = SharedBook(control, books)
        self._workers = workers
        self._worker = worker
        self._budget = control.budget() if budget is None else budget
        self._holder = f"{worker}/{secrets.token_hex(4)}"
        self._held: dict[str, ModelLease] = {}
        self._changing: set[asyncio.Task[None]] = set()
        self._used = 0
        self._refused: list[RefusedModel] = []
        self._unusable: dict[str, RefusedModel] = {}
        self._changes = ModelChanges(control, self._book, holder=self._holder)
        self.counters = self._changes.counters

    async def close(self) -> None:
        """Let what is being loaded or unloaded end, for a while, and take this worker out of the book. Idempotent."""
        if self._changing:
            await asyncio.wait(self._changing, timeout=_LAST_CHANGES)
        self._held.clear()
        if self._book.used:
            with contextlib.suppress(Unavailable):
                await self._book.edit(lambda book: rules.forget_dead(book, {self._holder}))

    @contextlib.asynccontextmanager
    async def lease(
        self, models: Iterable[str], *, purpose: str, told: Told, patient: bool = True
    ) -> AsyncIterator[None]:
        """Inside, these models are loaded and stay so. Waits until there is room, and says so to `told`.

        Raises StepError: MODEL_UNKNOWN, MODEL_INVALID, or MODEL_TOO_LARGE when they never fit; and Unavailable,
        also for want of room if it is not to be `patient`.
        """
        lease = ModelLease(holder=self._holder, purpose=purpose, models=sorted({*models}))
        if not lease.models:
            yield
            return
        self._held[purpose] = lease
        try:
            await self._acquire(lease, told, patient=patient)
            for name in lease.models:
                self._unusable.pop(name, None)
            yield
        finally:
            self._held.pop(purpose, None)  # closed meanwhile
            await self._release(lease)
            await self._unload_unwanted()

    async def catalogue(self) -> list[ModelInfo]:
        """Every model of the server that can be used, loaded or not, by name; as far as they are known."""
        loaded = await self._changes.models()
        book, _ = await self._book.read()
        self._used = rules.used_bytes(book, those_loaded(loaded))
        self._refused = [refused for refused in entries.refusals(book) if refused.name in loaded]
        found = []
        for model in sorted(book.models, key=lambda model: model.name):
            if model.name in loaded and model.HasField("info") and not model.refused:
                info = ModelInfo()
                info.CopyFrom(model.info)
                info.memory_bytes, info.pinned = model.memory_bytes, model.pinned
                info.loaded = loaded[model.name]
                found.append(info)
        return found

    async def introduce(self) -> None:
        """Load each model nobody knows yet once, to read its contract and to measure it. Those that fail are logged.

        Then unload what is idle as long as all together are over the budget: they grow with the pictures they get.
        """
        loaded = await self._changes.models()
        book, _ = await self._book.read()
        for name in sorted(loaded):
            if not entries.is_known(book, name) and not self._was_tried(name):
                await self._introduce(name)
        await self._changes.unload_idle(rules.surplus(book, those_loaded(loaded), self._budget), eviction=True)

    async def fulfil(self, wishes: Iterable[ModelWish]) -> None:
        """Do what operators wish, if no other worker has done it already. What fails is logged."""
        for wish in sorted(wishes, key=lambda wish: wish.model):
            if await self._book.edit(lambda book, wish=wish: entries.claim(book, wish)):  # type: ignore[misc]  # bound at once
                await self._fulfil(wish)

    def memory(self) -> ModelMemory:
        """Counters and bytes, as known last."""
        counters = self.counters
        return ModelMemory(
            budget_bytes=self._budget,
            used_bytes=self._used,
            loads=counters.loads,
            unloads=counters.unloads,
            evictions=counters.evictions,
            waiting=counters.waiting,
            refused=[*self._refused, *self._unusable.values()],
        )

    async def _introduce(self, name: str) -> None:
        try:
            async with self.lease([name], purpose=f"introduction of {name}", told=_log, patient=False):
                log.info("model %s is known now", name)
        except StepError as error:
            log.warning("%s", error.message)
            if error.code == ErrorCode.MODEL_TOO_LARGE:  # the others stand in the book
                self._note_unusable(name, error)
        except Unavailable as error:
            log.info("model %s is not known yet: %s", name, error.message)

    async def _fulfil(self, wish: ModelWish) -> None:
        self._unusable.pop(wish.model, None)
        try:
            if wish.pinned:
                async with self.lease([wish.model], purpose=f"load {wish.model}", told=_log, patient=False):
                    await self._changes.load([wish.model])  # anew, should its files have changed
            await self._unload_unwanted()
        except Unavailable as error:
            log.info("a wish about model %s has to wait: %s", wish.model, error.message)
            await self._book.edit(lambda book: entries.disclaim(book, wish))
        except FramewireError as error:
            log.warning("a wish about model %s is not fulfilled: %s", wish.model, error.message)
            self._note_unusable(wish.model, error)
            await self._book.edit(lambda book: entries.unpin(book, wish))

    def _note_unusable(self, model: str, error: FramewireError) -> None:
        """What the book does not say: of models that are too large, or in no repository. The newest of them."""
        refused = RefusedModel(name=model, reason=error.message, code=str(error.code))
        refused.time.GetCurrentTime()
        self._unusable.pop(model, None)
        self._unusable[model] = refused
        while len(self._unusable) > _UNUSABLE:
            del self._unusable[next(iter(self._unusable))]

    def _was_tried(self, model: str) -> bool:
        """A moment ago, and found too large: that does not change by itself."""
        refused = self._unusable.get(model)
        return bool(refused and refused.code == ErrorCode.MODEL_TOO_LARGE and entries.is_fresh(refused.time))

    async def _acquire(self, lease: ModelLease, told: Told, *, patient: bool) -> None:
        said, waits = "", False
        try:
            while True:
                decision, number = await self._demand(lease)
                if isinstance(decision, Go):
                    return await self._carry_out(lease, decision)
                if isinstance(decision, Never):
                    raise StepError(decision.why, code=ErrorCode.MODEL_TOO_LARGE)
                if not patient:
                    raise Unavailable(decision.why, code=ErrorCode.INFERENCE_UNAVAILABLE)
                if decision.why != said:
                    said = decision.why
                    await told(f"waits for models: {said}")
                if not waits:
                    waits = True
                    self.counters.waiting += 1
                await self._book.changed(after=number, wait=_LOOK_AGAIN)
        finally:
            self.counters.waiting -= waits

    async def _demand(self, lease: ModelLease) -> tuple[Go | Wait | Never, int]:
        loaded = await self._changes.models()
        for name in lease.models:
            if name not in loaded:
                message = f"there is no model {name} in the model repository"
                raise StepError(message, code=ErrorCode.MODEL_UNKNOWN)
        want = Demand(lease=lease, loaded=those_loaded(loaded), budget=self._budget)
        dead = await self._dead()

        def edit(book: ModelBook) -> Go | Wait | Never:
            rules.forget_dead(book, dead)
            self._forget_lost(book)
            return rules.demand(book, want)

        return await self._book.edit_numbered(edit)

    async def _carry_out(self, lease: ModelLease, decision: Go) -> None:
        """Not torn apart by a cancellation: what was begun is ended, and the book says so."""
        if not decision.load and not decision.evict:
            return
        change = asyncio.create_task(self._changes.carry_out(decision), name="change models")
        self._changing.add(change)
        change.add_done_callback(self._changing.discard)
        await asyncio.shield(change)
        await self._check_fit(lease)

    async def _check_fit(self, lease: ModelLease) -> None:
        """A model may turn out to hold more than was thought: others make room, or it goes again."""
        if not self._budget:
            return
        book, _ = await self._book.read()
        need = sum(rules.size_of(book, name) for name in lease.models)
        if need > self._budget:
            await self._release(lease)
            await self._changes.unload_idle(lease.models, eviction=False)
            message = (
                f"{' and '.join(lease.models)} need {need >> 20} MiB, models may hold {self._budget >> 20} MiB here"
            )
            raise StepError(message, code=ErrorCode.MODEL_TOO_LARGE)
        await self._changes.unload_idle(rules.surplus(book, await self._changes.loaded(), self._budget), eviction=True)

    async def _unload_unwanted(self) -> None:
        """Those an operator wanted unloaded while somebody used them."""
        try:
            book, _ = await self._book.read()
            if unwanted := [model.name for model in book.models if model.unwanted]:
                await self._changes.unload_idle(unwanted, eviction=False)
        except FramewireError as error:
            log.warning("not unloaded yet: %s", error.message)

    async def _release(self, lease: ModelLease) -> None:
        """What this worker's book still says afterwards, because the bus was away, is put right by the next lease."""
        try:
            held = {name: await asyncio.to_thread(self._control.memory, name) for name in lease.models}
            await self._book.edit(lambda book: entries.end_lease(book, lease, held))
        except FramewireError as error:
            log.warning("models %s are not given back yet: %s", ", ".join(lease.models), error.message)

    def _forget_lost(self, book: ModelBook) -> None:
        for lease in (*book.leases, *book.waiting):
            if lease.holder == self._holder and lease.purpose not in self._held:
                rules.end(book, lease)

    async def _dead(self) -> set[str]:
        live = {status.worker for status in await self._workers.live()} | {self._worker}
        book, _ = await self._book.read()
        return {holder for holder in rules.holders(book) if self._is_dead(holder, live)}

    def _is_dead(self, holder: str, live: set[str]) -> bool:
        worker = holder.rpartition("/")[0]
        return worker not in live or (worker == self._worker and holder != self._holder)


async def _log(line: str) -> None:
    log.info("%s", line)
