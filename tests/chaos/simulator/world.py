"""A simulated installation: servers, the actors on them, and what is remembered for the invariants."""

from __future__ import annotations

import contextlib
import random
from collections import Counter
from collections.abc import Coroutine
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from chaos.simulator.servers import Clock, Database, RepeatingFeed, Store, make_bus
from chaos.simulator.watcher import Watcher
from chaos.simulator.wire import BusProxy, Dead, Proxy, Wire
from chaos.simulator.worker import Worker

from coordinator.disposition import Cancelled, Disposition, Interrupted
from coordinator.worker.run import JobRun
from framewire.errors import ErrorCode, Unavailable
from framewire.v1.step_pb2 import LANE_GPU
from framewire.work.v1.work_pb2 import JobOrder
from gateway.recorder import Recorder
from gateway.relay import Relay

OUTCOMES = ("progress", "progress", "progress", "fails for now", "fails")


def drive(call: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine that never waits to its end."""
    try:
        call.send(None)
    except StopIteration as end:
        return end.value
    call.close()
    raise AssertionError("the bus in memory waited for something")


@dataclass
class Actor:
    """A process, or the part of one that dies with it."""

    name: str
    wire: Wire
    life: Coroutine[Any, Any, None]
    mind: Any = None
    at: str = "start"
    paused_until: float = 0.0
    over: bool = False

    def step(self) -> None:
        """To the next point."""
        self._resume(lambda: self.life.send(None))

    def fail(self) -> None:
        """The call it waits for is lost: on its way there if it has not been made, on its way back if it has."""
        error = Unavailable("lost", code=ErrorCode.BUS_UNAVAILABLE)
        self._resume(lambda: self.life.throw(error))

    def kill(self) -> None:
        """kill -9: no line of it runs any more, and nothing it would clean up is cleaned up."""
        self.wire.cut, self.over = True, True
        with contextlib.suppress(Dead, RuntimeError):
            self.life.close()

    def _resume(self, go: Any) -> None:
        try:
            self.at = go()
        except StopIteration:
            self.over = True


class World:
    """One installation on one seed."""

    def __init__(self, seed: int, mutation: str = "") -> None:
        self.rng = random.Random(seed)
        self.mutation = mutation
        self.clock = Clock()
        self.bus = make_bus(fenced=mutation != "no fence")
        self.store = Store(self.clock)
        self.bus_away_until = 0.0
        self.database = Database(guarded=mutation != "no guard")
        self.feed = RepeatingFeed(self.bus.events, self.clock)
        self.violations: list[str] = []
        self.retries: Counter[str] = Counter()
        self._scripts: dict[str, dict[int, list[str]]] = {}
        self.interrupted: list[tuple[str, int]] = []
        self._published = 0
        self._newest: dict[str, int] = {}
        self._tokens = 0
        self._generations = 0
        self.actors: list[Actor] = []
        self.watchers: list[Watcher] = []

    # What happens in it.

    def create_job(self, number: int) -> None:
        """A job is acknowledged: its row and its outbox entries are there."""
        job_id = f"job_{number}"
        order = JobOrder(
            job_id=job_id,
            workspace_id="ws",
            lane=LANE_GPU,
            priority=self.rng.randrange(4),
            max_attempts=self.rng.randint(1, 3),
            output_asset_id=f"ast_{number}",
        )
        self._scripts[job_id] = {}
        self.database.create(order)
        if self.rng.random() < 0.7:
            self._watch(job_id)

    def _watch(self, job_id: str) -> None:
        watcher = Watcher(job_id, self.bus.events)
        self.watchers.append(watcher)
        self.actors.append(Actor(f"watcher of {job_id}", watcher.wire, watcher.work(), watcher))

    def start_worker(self) -> None:
        self._generations += 1
        worker = Worker(f"w{self._generations}", self)
        self.actors.append(Actor(worker.name, worker.wire, worker.work(), worker))

    def start_relay(self, name: str) -> None:
        wire = Wire()
        self.actors.append(Actor(name, wire, _relay(self, wire)))

    def start_recorder(self) -> None:
        wire = Wire()
        self.feed.forget_position()
        self.actors.append(Actor("recorder", wire, _recorder(self, wire)))

    def restart(self, actor: Actor) -> None:
        """The supervisor puts another one in the place of one that is gone."""
        self.actors.remove(actor)
        if isinstance(actor.mind, Worker):
            self.start_worker()
        elif actor.name == "recorder":
            self.start_recorder()
        elif actor.name.startswith("relay"):
            self.start_relay(actor.name)

    def tick(self, seconds: float, *, heartbeats: bool = True) -> None:
        """Time passes; whoever holds a job and can, says that it lives and hears of cancellations."""
        self.clock.now += seconds
        for worker in self.minds() if heartbeats else ():
            if worker.held is not None:
                drive(worker.held.in_progress())
                if worker.run and drive(self.bus.cancellations.is_requested(worker.run.order.job_id)):
                    worker.halt(Cancelled())

    def minds(self) -> list[Worker]:
        """Workers that are neither dead nor paused."""
        return [
            actor.mind
            for actor in self.actors
            if isinstance(actor.mind, Worker) and actor.paused_until <= self.clock.now
        ]

    def publish_live(self) -> None:
        """What was stored since appears on the live subjects."""
        log = self.bus.events
        while self._published < len(log._stored):
            self._published += 1
            event = log._load(self._published)
            for watcher in self.watchers:
                if watcher.job_id == event.job_id:
                    watcher.publish(self._published, self._newest.get(event.job_id, 0))
            self._newest[event.job_id] = self._published

    def close(self) -> None:
        """Let go of everything that is still suspended."""
        for actor in self.actors:
            actor.kill()

    # What workers ask and tell.

    def script(self, job_id: str, attempt: int) -> list[str]:
        """What the runner of this attempt does."""
        scripts = self._scripts[job_id]
        if attempt not in scripts:
            scripts[attempt] = self.rng.choices(OUTCOMES, weights=(4, 4, 4, 2, 1), k=self.rng.randint(1, 3))
        return scripts[attempt]

    def next_token(self) -> int:
        self._tokens += 1
        return self._tokens

    def began(self, job_id: str, attempt: int) -> None:
        order = self.database.rows[job_id].order
        if attempt > order.max_attempts:
            self.violations.append(f"{job_id} began attempt {attempt} of {order.max_attempts}")

    def ended(self, run: JobRun, disposition: Disposition) -> None:
        if isinstance(disposition, Interrupted) and run.journal is not None and run.journal.begun:
            self.interrupted.append((run.order.job_id, run.journal.attempt))


class _Free:
    """The relay's places, of which there is always one."""

    async def __aenter__(self) -> None: ...

    async def __aexit__(self, *_: object) -> None: ...


async def _relay(world: World, wire: Wire) -> None:
    """The gateway's relay, one job's rows after the other."""
    bus: Any = BusProxy(wire, world.bus)
    outbox: Any = Proxy(wire, world.database, "outbox")
    relay = Relay(outbox, SimpleNamespace(), bus, Proxy(wire, world.store, "store"))  # type: ignore[arg-type]
    places: Any = _Free()
    while True:
        with contextlib.suppress(Unavailable):
            rows = await outbox.take(200)
            if not rows:
                await wire.point("idle")
            subjects: dict[str, list[Any]] = {}
            for row in rows:
                subjects.setdefault(row.subject, []).append(row)
            for group in subjects.values():
                await relay._send_subject(group, places)


async def _recorder(world: World, wire: Wire) -> None:
    """The gateway's recorder."""
    recorder = Recorder(Proxy(wire, world.database, "database"), world.feed)  # type: ignore[arg-type]  # played
    while True:
        if not world.feed.waiting and not recorder._batch:
            await wire.point("idle")
            continue
        with contextlib.suppress(Unavailable):
            await wire.point("fetch")
            await recorder.round()
