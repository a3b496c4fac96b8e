"""The worker: takes jobs while it has free slots, runs each, and drains when it is stopped."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Coroutine
from typing import Final

from google.protobuf.timestamp_pb2 import Timestamp

from coordinator.ahead import RunnerPlace
from coordinator.disposition import Cancelled, Done, Interrupted
from coordinator.inference.control import ModelControl
from coordinator.inference.keeper import ModelKeeper
from coordinator.runner_pool import RunnerPool
from coordinator.settings import RunnerSettings, WorkerSettings
from coordinator.worker.announcer import Announcer
from coordinator.worker.controls import ControlWatch
from coordinator.worker.hold import Hold
from coordinator.worker.models import ModelWatch
from coordinator.worker.patience import once
from coordinator.worker.run import JobRun
from coordinator.worker.scratch import Scratch
from coordinator.worker.settle import settle
from coordinator.worker.tools import Tools
from coordinator.worker.transfer import Transfer
from framewire.bus.interface import Bus, Delivery
from framewire.errors import Unavailable
from framewire.logs import log_context
from framewire.storage.interface import ObjectStore
from framewire.v1.step_pb2 import LANE_GPU, Lane
from framewire.work.v1.work_pb2 import WorkerStatus

log = logging.getLogger(__name__)

_PAUSE: Final = 1.0
"""Seconds before the bus is tried again after it failed."""


class Worker:
    """`start`, then it works by itself until `stop`. `broken` is set if a part of it has died, which is a bug."""

    def __init__(
        self,
        settings: WorkerSettings,
        runner_settings: RunnerSettings,
        *,
        bus: Bus,
        store: ObjectStore,
        models: ModelControl,
    ) -> None:
        self._settings = settings
        self._bus = bus
        self._store = store
        self._announcer = Announcer(bus.workers, self._status, interval=settings.announce_interval)
        self._runners = RunnerPool(
            runner_settings, self._place if settings.inference.url else None, changed=self._announcer.poke
        )
        self._keeper = ModelKeeper(models, bus.models, bus.workers, worker=settings.name, budget=settings.model_memory)
        self._models = ModelWatch(
            models, self._keeper, interval=settings.announce_interval, changed=self._announcer.poke
        )
        self._controls = ControlWatch(bus.controls, worker=settings.name, changed=self._on_controls)
        self._free = asyncio.Semaphore(settings.slots)
        self._running: dict[str, tuple[JobRun, Hold]] = {}
        self._jobs: set[asyncio.Task[None]] = set()
        self._background: list[asyncio.Task[None]] = []
        self._pulling: asyncio.Task[None] | None = None
        self._stopping = asyncio.Event()
        self._scratch: Scratch | None = None
        self.broken = asyncio.Event()

    async def start(self) -> None:
        """Sweep what dead predecessors left, announce, and begin to pull.

        Raises Unavailable when the bus does not answer, OSError when the scratch folder cannot be written.
        """
        self._scratch = await asyncio.to_thread(Scratch.open, self._settings.scratch)
        await self._runners.start()
        await self._models.start()
        tools = Tools(
            settings=self._settings,
            bus=self._bus,
            transfer=Transfer(self._store, patience=self._settings.patience, limit=self._settings.transfer_limit),
            runners=self._runners,
            scratch=self._scratch,
            models=self._keeper,
        )
        await self._controls.start()
        await self._announcer.announce()
        for part in (
            self._models.run(),
            self._models.tend(),
            self._controls.run(),
            self._announcer.run(),
            self._watch_cancellations(),
        ):
            self._background.append(self._spawn(part))
        self._pulling = self._spawn(self._pull(tools))

    async def stop(self) -> None:
        """Take no more jobs, give back those that run, and say good-bye; within `drain_limit`. Idempotent.

        The jobs lose no attempt. What cannot be given back in time is handed out again by the queue.
        """
        if self._stopping.is_set():
            return
        self._stopping.set()
        log.info("stopping, %d jobs to give back", len(self._running))
        try:
            async with asyncio.timeout(self._settings.drain_limit):
                await self._drain()
        except TimeoutError:
            log.error("not drained within %g s: %s left to the queue", self._settings.drain_limit, [*self._running])
        await self._end(*self._jobs, *self._background, *filter(None, [self._pulling]))
        await self._runners.stop()
        await self._keeper.close()
        await self._announcer.withdraw()
        if self._scratch is not None:
            await asyncio.to_thread(self._scratch.close)

    def _place(self) -> RunnerPlace:
        if self._scratch is None:
            raise FileNotFoundError("the scratch folder is not open")
        return RunnerPlace(folder=self._scratch.job_folder("next"), inference=self._settings.inference)

    async def _drain(self) -> None:
        for run, _ in self._running.values():
            run.halt(Interrupted())
        if self._pulling is not None:  # not torn apart: a job it gets just now would be lost until the queue misses it
            await asyncio.wait({self._pulling}, timeout=self._settings.pull_wait + 1.0)
        if self._jobs:
            await asyncio.wait(self._jobs)

    async def _pull(self, tools: Tools) -> None:
        while not self._stopping.is_set():
            await self._free.acquire()
            delivery = None
            try:
                delivery = await self._next()
            finally:
                if delivery is None:
                    self._free.release()
            if delivery is not None:
                await self._take(delivery, tools)

    async def _next(self) -> Delivery | None:
        """A job, or None after a while without one."""
        lanes = self._lanes()
        if not lanes or self._stopping.is_set():
            await self._pause()
            return None
        settings, jobs = self._settings, self._bus.jobs
        try:
            return await once(
                lambda: jobs.pull(
                    lanes,
                    wait=settings.pull_wait,
                    priorities=settings.priorities,
                    overflow_after=settings.overflow_after,
                ),
                limit=settings.pull_wait + 30.0,
            )
        except Unavailable as error:
            log.warning("no jobs can be pulled: %s", error.message)
            await self._pause()
            return None

    def _lanes(self) -> list[Lane.ValueType]:
        """Those whose jobs could be run now."""
        lanes = self._controls.open(self._settings.lanes)
        return [lane for lane in lanes if lane != LANE_GPU or self._models.reachable]

    async def _pause(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_PAUSE):
                await self._stopping.wait()

    async def _take(self, delivery: Delivery, tools: Tools) -> None:
        """Begin with a job whose slot is taken already; the slot is free again when the job is settled."""
        job_id = delivery.order.job_id
        if self._stopping.is_set() or not self._controls.open([delivery.order.lane]):
            await self._give_back(delivery)
        elif job_id in self._running:
            await self._take_again(delivery, *self._running[job_id])
        else:
            run = JobRun(delivery.order, tools, placement=delivery.placement, stored=delivery.stored)
            hold = Hold(delivery, tools)
            self._running[job_id] = run, hold
            task = self._spawn(self._work(run, hold, tools))
            self._jobs.add(task)
            task.add_done_callback(self._jobs.discard)
            self._announcer.poke()

    async def _take_again(self, delivery: Delivery, run: JobRun, hold: Hold) -> None:
        """The order that runs, handed out once more; or the order of a retry that came before this one was settled."""
        if delivery.order.max_attempts == run.order.max_attempts:
            hold.delivery = delivery
            self._free.release()
        else:
            await self._give_back(delivery, delay=_PAUSE)

    async def _give_back(self, delivery: Delivery, *, delay: float = 0) -> None:
        self._free.release()
        with contextlib.suppress(Unavailable):
            await once(lambda: delivery.retry(delay))

    async def _work(self, run: JobRun, hold: Hold, tools: Tools) -> None:
        job_id = run.order.job_id
        try:
            with log_context(job_id=job_id):
                async with hold.kept(lambda: run.halt(Cancelled())):
                    disposition = await run.run()
                    if not isinstance(disposition, Done):
                        self._models.look_now()  # it may be the trouble; a killed runner leaves memory there
                    await settle(disposition, run, hold, tools)
        finally:
            del self._running[job_id]
            self._free.release()
            self._announcer.poke()

    async def _watch_cancellations(self) -> None:
        while True:
            try:
                async for job_id in self._bus.cancellations.watch():
                    if held := self._running.get(job_id):
                        held[0].halt(Cancelled())
            except Unavailable as error:
                log.warning("cancellations are not heard: %s", error.message)
            await self._pause()

    def _status(self) -> WorkerStatus:
        time = Timestamp()
        time.GetCurrentTime()
        return WorkerStatus(
            worker=self._settings.name,
            lanes=self._settings.lanes,
            slots=self._settings.slots,
            running_job_ids=sorted(self._running),
            models=self._models.models,
            time=time,
            overflow_after=self._settings.overflow_after,
            draining=self._controls.draining or self._stopping.is_set(),
            priorities=self._settings.priorities,
            model_memory=self._keeper.memory(),
            warm_runners=self._runners.warm,
        )

    def _on_controls(self) -> None:
        self._models.wish(self._controls.wishes)
        self._announcer.poke()

    def _spawn(self, part: Coroutine[None, None, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(part)
        task.add_done_callback(self._check)
        return task

    def _check(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            log.critical("a part of the worker has died", exc_info=error)
            self.broken.set()

    async def _end(self, *tasks: asyncio.Task[None]) -> None:
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=2.0)
