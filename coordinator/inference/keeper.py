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
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final, TypeVar

from coordinator.inference.control import ModelControl
from framewire.bus.interface import BookConflict, ModelBooks, ModelWish, Workers
from framewire.errors import ErrorCode, FramewireError, StepError, Unavailable
from framewire.models import book as rules
from framewire.models.book import Demand, Go, Never, Wait
from framewire.steps.contract import ModelContract
from framewire.v1.operations_pb2 import ModelMemory
from framewire.v1.step_pb2 import ModelInfo
from framewire.work.v1.work_pb2 import ModelBook, ModelLease

log = logging.getLogger(__name__)
T = TypeVar("T")
Told = Callable[[str], Awaitable[None]]
"""Is told, once each, what a job waits for."""

_TRIES: Final = 100
_LOOK_AGAIN: Final = 2.0
"""Seconds until a book that has not changed is looked at again: holders die without a word."""
_LAST_CHANGES: Final = 2.0
"""Seconds a worker that stops waits for a model that is being loaded."""
_REFUSED_FOR: Final = 60.0
"""Seconds until a model that could not be loaded is tried again by itself."""


@dataclass(slots=True)
class ModelCounters:
    """What this worker has done to its server's models since it started."""

    loads: int = 0
    unloads: int = 0
    evictions: int = 0
    waiting: int = 0


class ModelKeeper:
    """One worker's hand in the book of its model server. `start` first; `close` gives back what it holds."""

    def __init__(
        self, control: ModelControl, books: ModelBooks, workers: Workers, *, worker: str, budget: int | None = 0
    ) -> None:
        """`budget`: bytes that models may hold together; 0: as many as they like; None: what the machine allows."""
        self._control = control
        self._books = books
        self._workers = workers
        self._worker = worker
        self._budget = control.budget() if budget is None else budget
        self._holder = f"{worker}/{secrets.token_hex(4)}"
        self._server = ""
        self._held: dict[str, ModelLease] = {}
        self._changes: set[asyncio.Task[None]] = set()
        self._used = 0
        self.counters = ModelCounters()

    async def close(self) -> None:
        """Let what is being loaded or unloaded end, for a while, and take this worker out of the book. Idempotent."""
        if self._changes:
            await asyncio.wait(self._changes, timeout=_LAST_CHANGES)
        self._held.clear()
        if self._server:
            with contextlib.suppress(Unavailable):
                await self._edit(lambda book: rules.forget_dead(book, {self._holder}))

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
            yield
        finally:
            del self._held[purpose]
            await self._release(lease)
            await self._unload_unwanted()

    async def catalogue(self) -> list[ModelInfo]:
        """Every model of the server that can be used, loaded or not, by name; as far as they are known."""
        loaded = await self._models()
        book, _ = await self._read()
        self._used = rules.used_bytes(book, _those(loaded))
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
        loaded = await self._models()
        book, _ = await self._read()
        for name in sorted(loaded):
            if not _is_known(book, name):
                await self._introduce(name)
        await self._unload_idle(rules.surplus(book, _those(loaded), self._budget), eviction=True)

    async def fulfil(self, wishes: Iterable[ModelWish]) -> None:
        """Do what operators wish, if no other worker has done it already. What fails is logged."""
        for wish in sorted(wishes, key=lambda wish: wish.model):
            if await self._edit(lambda book, wish=wish: _claim(book, wish)):  # type: ignore[misc]  # bound at once
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
        )

    async def _introduce(self, name: str) -> None:
        try:
            async with self.lease([name], purpose=f"introduction of {name}", told=_log, patient=False):
                log.info("model %s is known now", name)
        except StepError as error:
            log.warning("%s", error.message)
        except Unavailable as error:
            log.info("model %s is not known yet: %s", name, error.message)

    async def _fulfil(self, wish: ModelWish) -> None:
        try:
            if wish.pinned:
                async with self.lease([wish.model], purpose=f"load {wish.model}", told=_log, patient=False):
                    await self._bring([wish.model])  # anew, should its files have changed
            await self._unload_unwanted()
        except Unavailable as error:
            log.info("a wish about model %s has to wait: %s", wish.model, error.message)
            await self._edit(lambda book: _disclaim(book, wish))
        except FramewireError as error:
            log.warning("a wish about model %s is not fulfilled: %s", wish.model, error.message)

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
                await self._books.changed(self._server, after=number, wait=_LOOK_AGAIN)
        finally:
            self.counters.waiting -= waits

    async def _demand(self, lease: ModelLease) -> tuple[Go | Wait | Never, int]:
        loaded = await self._models()
        for name in lease.models:
            if name not in loaded:
                message = f"there is no model {name} in the model repository"
                raise StepError(message, code=ErrorCode.MODEL_UNKNOWN)
        want = Demand(lease=lease, loaded=_those(loaded), budget=self._budget)
        dead = await self._dead()

        def edit(book: ModelBook) -> Go | Wait | Never:
            rules.forget_dead(book, dead)
            self._forget_lost(book)
            return rules.demand(book, want)

        return await self._edit_numbered(edit)

    async def _carry_out(self, lease: ModelLease, decision: Go) -> None:
        """Not torn apart by a cancellation: what was begun is ended, and the book says so."""
        if not decision.load and not decision.evict:
            return
        change = asyncio.create_task(self._change(decision), name="change models")
        self._changes.add(change)
        change.add_done_callback(self._changes.discard)
        await asyncio.shield(change)
        await self._check_fit(lease)

    async def _change(self, decision: Go) -> None:
        try:
            for name in decision.evict:
                await self._unload(name, eviction=True)
            await self._bring(decision.load)
        finally:
            await self._edit(lambda book: _not_changing(book, (*decision.load, *decision.evict)))

    async def _unload(self, name: str, *, eviction: bool) -> None:
        await asyncio.to_thread(self._control.unload, name)
        self.counters.unloads += 1
        self.counters.evictions += eviction
        log.info("model %s unloaded%s", name, " to make room" if eviction else "")

    async def _bring(self, names: Iterable[str]) -> None:
        for name in names:
            began = time.monotonic()
            try:
                contract = await asyncio.to_thread(self._control.load, name)
                held = await asyncio.to_thread(self._measure_new, contract)
            except StepError as error:
                reason = error.message
                await self._edit(lambda book, name=name, reason=reason: _refuse(book, name, reason))  # type: ignore[misc]
                raise
            self.counters.loads += 1
            await self._edit(lambda book, contract=contract, held=held: _know(book, contract, held))  # type: ignore[misc]
            log.info("model %s loaded in %.1f s, %.0f MiB", name, time.monotonic() - began, held / (1 << 20))

    def _measure_new(self, contract: ModelContract) -> int:
        self._control.warm_up(contract)
        return self._control.memory(contract.name) or contract.memory_bytes

    async def _check_fit(self, lease: ModelLease) -> None:
        """A model may turn out to hold more than was thought: others make room, or it goes again."""
        if not self._budget:
            return
        book, _ = await self._read()
        need = sum(rules.size_of(book, name) for name in lease.models)
        if need > self._budget:
            await self._release(lease)
            await self._unload_idle(lease.models, eviction=False)
            message = (
                f"{' and '.join(lease.models)} need {need >> 20} MiB, models may hold {self._budget >> 20} MiB here"
            )
            raise StepError(message, code=ErrorCode.MODEL_TOO_LARGE)
        await self._unload_idle(rules.surplus(book, _those(await self._models()), self._budget), eviction=True)

    async def _unload_unwanted(self) -> None:
        """Those an operator wanted unloaded while somebody used them."""
        try:
            book, _ = await self._read()
            if unwanted := [model.name for model in book.models if model.unwanted]:
                await self._unload_idle(unwanted, eviction=False)
        except FramewireError as error:
            log.warning("not unloaded yet: %s", error.message)

    async def _unload_idle(self, names: Iterable[str], *, eviction: bool) -> None:
        """Those of them that nobody uses or keeps."""
        loaded = _those(await self._models())
        wanted = set(names)

        def claim(book: ModelBook) -> list[str]:
            chosen = [name for name in rules.idle(book, loaded) if name in wanted]
            for name in chosen:
                model = rules.entry(book, name)
                model.changing, model.unwanted = self._holder, False
            return chosen

        chosen = await self._edit(claim) if wanted & loaded else []
        try:
            for name in chosen:
                await self._unload(name, eviction=eviction)
        finally:
            if chosen:
                await self._edit(lambda book: _not_changing(book, chosen))

    async def _release(self, lease: ModelLease) -> None:
        """What this worker's book still says afterwards, because the bus was away, is put right by the next lease."""
        try:
            held = {name: await asyncio.to_thread(self._control.memory, name) for name in lease.models}
            await self._edit(lambda book: _end(book, lease, held))
        except FramewireError as error:
            log.warning("models %s are not given back yet: %s", ", ".join(lease.models), error.message)

    def _forget_lost(self, book: ModelBook) -> None:
        for lease in (*book.leases, *book.waiting):
            if lease.holder == self._holder and lease.purpose not in self._held:
                rules.end(book, lease)

    async def _dead(self) -> set[str]:
        live = {status.worker for status in await self._workers.live()} | {self._worker}
        book, _ = await self._read()
        return {holder for holder in rules.holders(book) if self._is_dead(holder, live)}

    def _is_dead(self, holder: str, live: set[str]) -> bool:
        worker = holder.rpartition("/")[0]
        return worker not in live or (worker == self._worker and holder != self._holder)

    async def _models(self) -> Mapping[str, bool]:
        return await asyncio.to_thread(self._control.models)

    async def _read(self) -> tuple[ModelBook, int]:
        if not self._server:
            self._server = await asyncio.to_thread(self._control.identity)
        return await self._books.read(self._server)

    async def _edit(self, edit: Callable[[ModelBook], T]) -> T:
        return (await self._edit_numbered(edit))[0]

    async def _edit_numbered(self, edit: Callable[[ModelBook], T]) -> tuple[T, int]:
        """Change the book, again and again until nobody else has changed it meanwhile."""
        for _ in range(_TRIES):
            book, number = await self._read()
            before = book.SerializeToString(deterministic=True)
            result = edit(book)
            if book.SerializeToString(deterministic=True) == before:
                return result, number
            with contextlib.suppress(BookConflict):
                return result, await self._books.write(self._server, book, after=number)
        raise Unavailable("the book of models is changed all the time", code=ErrorCode.BUS_UNAVAILABLE)


async def _log(line: str) -> None:
    log.info("%s", line)


def _those(loaded: Mapping[str, bool]) -> set[str]:
    return {name for name, is_loaded in loaded.items() if is_loaded}


def _is_known(book: ModelBook, name: str) -> bool:
    model = rules.entry(book, name)
    if model.refused:
        return time.time() - model.refused_time.ToSeconds() < _REFUSED_FOR
    return model.HasField("info") or bool(model.changing)


def _claim(book: ModelBook, wish: ModelWish) -> bool:
    model = rules.entry(book, wish.model)
    if model.wish == wish.request:
        return False
    model.wish, model.pinned, model.unwanted = wish.request, wish.pinned, not wish.pinned
    return True


def _disclaim(book: ModelBook, wish: ModelWish) -> None:
    """To be tried again."""
    model = rules.entry(book, wish.model)
    if model.wish == wish.request:
        model.wish = ""


def _know(book: ModelBook, contract: ModelContract, held: int) -> None:
    model = rules.entry(book, contract.name)
    model.info.CopyFrom(contract.to_proto())
    model.memory_bytes = held
    model.refused = ""
    model.ClearField("refused_time")


def _refuse(book: ModelBook, name: str, reason: str) -> None:
    model = rules.entry(book, name)
    model.refused = reason
    model.refused_time.GetCurrentTime()


def _not_changing(book: ModelBook, names: Iterable[str]) -> None:
    for name in names:
        rules.entry(book, name).changing = ""


def _end(book: ModelBook, lease: ModelLease, held: Mapping[str, int | None]) -> None:
    rules.end(book, lease)
    for name, size in held.items():
        if size:
            rules.entry(book, name).memory_bytes = size
