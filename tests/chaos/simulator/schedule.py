"""A schedule: one seed says which actor goes on next and which fault strikes where, every time the same."""

from __future__ import annotations

import contextlib
import logging
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from unittest import mock

from chaos.simulator.invariants import check
from chaos.simulator.servers import ACK_WAIT
from chaos.simulator.watcher import Watcher
from chaos.simulator.worker import Worker, without_an_event_loop
from chaos.simulator.world import Actor, World

from coordinator.disposition import Interrupted
from framewire.testing.bus import jobs as memory

MOST_STEPS = 260
SETTLE_ROUNDS = 400
FAULTS = (
    "kill",
    "lost call",
    "pause",
    "interruption",
    "clock jump",
    "redelivered event",
    "cancellation",
    "retry",
    "dropped live event",
    "reconnect",
    "store away",
    "late upload",
    "bus away",
)
_CALLS = ("ask", "answer", "history", "newest", "fetch")


@dataclass
class Outcome:
    """What one schedule came to."""

    seed: int
    faults: Counter[str] = field(default_factory=Counter)
    violations: list[tuple[str, str]] = field(default_factory=list)
    trace: list[str] = field(default_factory=list)


@contextlib.contextmanager
def simulation() -> Iterator[None]:
    """Everything below runs inside: no event loop, no clock but the simulated one, no logs."""
    disabled, hooks = logging.root.manager.disable, sys.get_asyncgen_hooks()
    logging.disable(logging.CRITICAL)
    sys.set_asyncgen_hooks(finalizer=lambda _: None)  # nothing a killed process would clean up is cleaned up
    try:
        with without_an_event_loop():
            yield
    finally:
        logging.disable(disabled)
        sys.set_asyncgen_hooks(*hooks)


def play(seed: int, *, mutation: str = "", trace: bool = False) -> Outcome:
    """Play one schedule inside `simulation()` and check the invariants. `mutation` breaks something on purpose."""
    return _Schedule(seed, mutation, trace).play()


class _Schedule:
    def __init__(self, seed: int, mutation: str, trace: bool) -> None:
        self._world = World(seed, mutation)
        self._rng = self._world.rng
        self._outcome = Outcome(seed)
        self._tracing = trace
        self._budget = self._rng.randint(0, 10)

    def play(self) -> Outcome:
        world = self._world
        with mock.patch.object(memory, "time", world.clock):
            try:
                self._populate()
                self._act(MOST_STEPS)
                if self._retry_failed():
                    self._act(MOST_STEPS // 2)
                self._outcome.violations += check(world)
            finally:
                world.close()
        return self._outcome

    def _act(self, steps: int) -> None:
        for _ in range(steps):
            self._once()
        self._settle()

    def _retry_failed(self) -> bool:
        """Somebody asks again for what failed, while faults go on."""
        self._budget += 3
        before = self._outcome.faults["retry"]
        for _ in self._world.database.rows:
            self._fault("retry")
        return self._outcome.faults["retry"] > before

    def _populate(self) -> None:
        for number in range(self._rng.randint(1, 3)):
            self._world.create_job(number)
        for _ in range(self._rng.randint(1, 3)):
            self._world.start_worker()
        for number in range(self._rng.randint(1, 2)):
            self._world.start_relay(f"relay {number}")
        self._world.start_recorder()

    def _once(self) -> None:
        world, chance = self._world, self._rng.random()
        if self._budget and chance < 0.06:
            self._budget -= 1
            self._fault(self._rng.choice(FAULTS))
        elif chance < 0.12:
            world.tick(self._rng.random())
        else:
            awake = [actor for actor in world.actors if actor.paused_until <= world.clock.now]
            if awake:
                self._step(self._busy(awake))

    def _busy(self, actors: list[Actor]) -> Actor:
        """One of them, rather one that has something to do: faults are to strike where something happens."""
        actor = self._rng.choice(actors)
        return self._rng.choice(actors) if actor.at in {"idle", "live"} else actor

    def _step(self, actor: Actor) -> None:
        if self._world.clock.now < self._world.bus_away_until and actor.at.startswith(_CALLS):
            actor.fail()
        else:
            actor.step()
        self._note(f"{actor.name}: {actor.at}")
        self._after(actor)

    def _after(self, actor: Actor) -> None:
        self._world.publish_live()
        if actor.over:
            self._world.restart(actor)

    def _settle(self) -> None:
        """No more faults: whatever is possible must come to its end now, within a bound."""
        world = self._world
        self._note("-- no more faults")
        world.store.objects |= dict(world.store.in_flight)
        for _ in range(SETTLE_ROUNDS):
            if self._is_quiet():
                return
            world.tick(1.0)
            for actor in list(world.actors):
                for _ in range(12):
                    if actor.over or actor.paused_until > world.clock.now:
                        break
                    self._step(actor)
                    if actor.at == "idle":
                        break

    def _is_quiet(self) -> bool:
        world = self._world
        return (
            not world.database.outbox
            and world.feed.settled
            and not world.bus.jobs._entries
            and all(actor.over or not isinstance(actor.mind, Watcher) for actor in world.actors)
            and all(actor.at == "idle" for actor in world.actors)
        )

    def _fault(self, fault: str) -> None:
        if self._strike(fault):
            self._outcome.faults[fault] += 1

    def _strike(self, fault: str) -> bool:
        """Whether there was something to strike."""
        strike: Callable[[], bool] = getattr(self, f"_{fault.replace(' ', '_')}")
        return strike()

    def _kill(self) -> bool:
        actor = self._busy(self._world.actors)
        if isinstance(actor.mind, Watcher):
            return False
        self._note(f"{actor.name} is killed at {actor.at}")
        actor.kill()
        self._world.restart(actor)
        return True

    def _lost_call(self) -> bool:
        actor = self._busy(self._world.actors)
        if not actor.at.startswith(_CALLS):
            return False
        self._note(f"{actor.name} loses {actor.at}")
        actor.fail()
        self._after(actor)
        return True

    def _pause(self) -> bool:
        sleeper = self._busy(self._workers)
        self._note(f"{sleeper.name} is paused at {sleeper.at}")
        sleeper.paused_until = self._world.clock.now + self._rng.uniform(0, 3 * ACK_WAIT)
        if self._rng.random() < 0.7:
            self._world.tick(ACK_WAIT + 0.1)
        return True

    def _interruption(self) -> bool:
        stopped = self._busy(self._workers)
        self._note(f"{stopped.name} is told to stop at {stopped.at}")
        stopped.mind.stopping = True
        stopped.mind.halt(Interrupted())
        return True

    def _clock_jump(self) -> bool:
        self._note("the queue's clock jumps")
        self._world.tick(self._rng.choice((ACK_WAIT + 0.1, 3600.0)), heartbeats=False)
        return True

    def _redelivered_event(self) -> bool:
        known = self._world.feed.delivered
        if not known:
            return False
        self._world.feed.repeat(self._rng.sample(known, self._rng.randint(1, min(3, len(known)))))
        return True

    def _cancellation(self) -> bool:
        job_id = self._rng.choice([*self._world.database.rows])
        self._note(f"{job_id} is to be cancelled")
        self._world.database.cancel(job_id)
        return True

    def _retry(self) -> bool:
        """Of a failed job, if there is one, and at most twice."""
        world = self._world
        failed = [job for job, row in world.database.rows.items() if row.state == "FAILED" and world.retries[job] < 2]
        if not failed:
            return False
        job_id = self._rng.choice(failed)
        self._note(f"{job_id} is to be retried")
        world.retries[job_id] += 1
        world.database.retry(job_id, attempts=self._rng.randint(1, 2))
        return True

    def _dropped_live_event(self) -> bool:
        watcher = self._watcher()
        if watcher is not None:
            watcher.drop()
        return watcher is not None

    def _reconnect(self) -> bool:
        watcher = self._watcher()
        if watcher is not None:
            watcher.reconnect()
        return watcher is not None

    def _store_away(self) -> bool:
        self._note("the store is away")
        self._world.store.away_until = self._world.clock.now + self._rng.uniform(0, 3)
        return True

    def _bus_away(self) -> bool:
        self._note("the bus is away")
        self._world.bus_away_until = self._world.clock.now + self._rng.uniform(0, 2)
        return True

    def _late_upload(self) -> bool:
        if not self._world.store.in_flight:
            return False
        key, content = self._world.store.in_flight.pop()
        self._note(f"an upload of {key} lands late")
        self._world.store.objects[key] = content
        return True

    @property
    def _workers(self) -> list[Actor]:
        return [actor for actor in self._world.actors if isinstance(actor.mind, Worker)]

    def _watcher(self) -> Watcher | None:
        watchers = [actor.mind for actor in self._world.actors if isinstance(actor.mind, Watcher)]
        return self._rng.choice(watchers) if watchers else None

    def _note(self, line: str) -> None:
        if self._tracing:
            self._outcome.trace.append(f"{self._world.clock.now:10.1f}  {line}")
