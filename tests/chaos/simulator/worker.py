"""A worker: the real journal, run and settlement, on wires that fail. Only the runner and the transfer are played."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any
from unittest import mock

from chaos.simulator.wire import BusProxy, Proxy, Wire

from coordinator.disposition import Cancelled, Disposition, Done, Fenced, Interrupted, after_failure
from coordinator.worker import journal, run, settle
from coordinator.worker.journal import Journal
from coordinator.worker.keys import AttemptKeys
from coordinator.worker.run import JobRun
from framewire.bus import events
from framewire.bus.interface import EventConflict
from framewire.errors import FramewireError, Unavailable, WorkerError
from framewire.v1.asset_pb2 import Asset
from framewire.v1.job_pb2 import Event, FidelityReport, Progress
from framewire.v1.step_pb2 import LANE_CPU, LANE_GPU

TRIES = 4
"""Times a call is repeated until patience is at its end."""


class Halted(Exception):
    """The run was told to stop."""


async def patiently(call: Callable[[], Awaitable[Any]], *, patience: float, **_: Any) -> Any:
    """The real one's rule without its clock: repeat while servers are away, then raise."""
    for _try in range(TRIES if patience else 1):
        try:
            return await call()
        except Unavailable as error:
            last = error
    raise last


async def _finish(self: Journal, appending: Awaitable[None]) -> None:
    await appending  # nothing is torn apart here: faults strike at points, not between them


async def _no_time(seconds: float) -> None: ...


async def _history(job_id: str, log: Any) -> list[Event]:
    return []


@contextlib.contextmanager
def without_an_event_loop() -> Iterator[None]:
    """The worker's parts, driven by hand: what would wait by a clock is replaced by what waits at points."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(mock.patch.object(events, "asyncio", SimpleNamespace(sleep=_no_time)))
        for module in (journal, run, settle):
            stack.enter_context(mock.patch.object(module, "patiently", patiently))
        stack.enter_context(mock.patch.object(Journal, "_finish", _finish))
        if hasattr(settle, "history_of"):
            stack.enter_context(mock.patch.object(settle, "history_of", _history))
        yield


class Transfer:
    """What `coordinator.worker.transfer.Transfer` guarantees, on a store that fails."""

    def __init__(self, wire: Wire, store: Any) -> None:
        self._wire, self._store = wire, store
        self._uploads: dict[str, str] = {}

    async def store(self, key: str, content: str) -> None:
        self._uploads[key] = content
        await patiently(lambda: self._wire.cross("store.put", self._store.put(key, content)), patience=1)

    def keep(self, *keys: str) -> None:
        for key in keys:
            self._uploads.pop(key, None)

    async def discard(self, *prefixes: str) -> bool:
        begun = [key for key in self._uploads if key.startswith(prefixes)]
        return all([await self._discard(key) for key in begun])

    async def _discard(self, key: str) -> bool:
        content = self._uploads.pop(key)
        try:
            await patiently(lambda: self._wire.cross("store.delete", self._store.delete(key)), patience=1)
        except Unavailable:
            self._store.in_flight.append((key, content))  # a thread that hangs may still finish its upload
            return False
        return True


class Run(JobRun):
    """One job as long as this worker has it. The attempt plays its job's script."""

    def __init__(self, order: Any, tools: Any, worker: Worker) -> None:
        super().__init__(order, tools)
        self._worker = worker

    async def run(self) -> Disposition:
        if self._halted is not None:
            return self._halted
        try:
            return await self._attempt()
        except Halted:
            return self._halted or Interrupted()
        except EventConflict as conflict:
            return Fenced(last=conflict.last)
        except FramewireError as error:
            return self._halted or after_failure(
                error, attempt=self._attempts_so_far, max_attempts=self._max_attempts, first_delay=5.0
            )

    @property
    def keys(self) -> AttemptKeys:
        keys = super().keys
        shared = self._worker.world.mutation == "shared key"
        return replace(keys, result=f"{self.order.job_id}/result") if shared else keys

    async def _within_limit(self, journal: Journal) -> Done:
        self._worker.world.began(self.order.job_id, journal.attempt)
        content = f"{self._worker.name} {self._worker.world.next_token()}"
        for outcome in self._worker.world.script(self.order.job_id, journal.attempt):
            await self._worker.wire.point("runner")
            if self._halted is not None:
                raise Halted
            if outcome == "progress":
                await journal.progress(Progress(stage="process", fraction=0.5))
            else:
                raise WorkerError("as scripted", retryable=outcome == "fails for now")
        await self._tools.transfer.store(self.keys.result, content)
        if self._halted is not None:
            raise Halted
        asset = Asset(asset_id=self.order.output_asset_id, sha256=content, filename=self.keys.result)
        return Done(output=asset, fidelity=FidelityReport())


class Hold:
    """A delivery. Signs of life are given by the scheduler while the worker is neither paused nor dead."""

    def __init__(self, delivery: Any) -> None:
        self.delivery = delivery

    async def ack(self) -> None:
        await patiently(lambda: self.delivery.ack(), patience=1)

    async def retry(self, delay: float) -> None:
        await patiently(lambda: self.delivery.retry(delay), patience=1)


class Worker:
    """A process with one slot. `work` is its life as a coroutine."""

    def __init__(self, name: str, world: Any) -> None:
        self.name = name
        self.world = world
        self.wire = Wire()
        bus = BusProxy(self.wire, world.bus)
        settings = SimpleNamespace(name=name, patience=1.0, retry_delay=5.0)
        self._tools: Any = SimpleNamespace(settings=settings, bus=bus, transfer=Transfer(self.wire, world.store))
        self._bus = bus
        self.run: Run | None = None
        self.held: Any = None
        self.stopping = False

    async def work(self) -> None:
        """Pull, run, settle, until told to stop."""
        while not self.stopping:
            try:
                delivery = await self._bus.jobs.pull([LANE_GPU, LANE_CPU], wait=0)
            except Unavailable:
                continue
            if delivery is None:
                await self.wire.point("idle")
                continue
            await self._take(delivery)

    async def _take(self, delivery: Any) -> None:
        self.held = delivery
        hold: Any = Hold(Proxy(self.wire, delivery, "order"))
        self.run = Run(delivery.order, self._tools, self)
        if self.stopping:
            self.run.halt(Interrupted())
        disposition = await self.run.run()
        self.world.ended(self.run, disposition)
        if self.world.mutation == "ack first":
            await hold.ack()
        await settle.settle(disposition, self.run, hold, self._tools)
        self.run = self.held = None

    def halt(self, why: Cancelled | Interrupted) -> None:
        """As the watch on cancellations, or a shutdown, does."""
        if self.run is not None:
            self.run.halt(why)
