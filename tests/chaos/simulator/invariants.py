"""What must hold after every schedule, each by the name it has in docs/chaos.md."""

from __future__ import annotations

from collections.abc import Iterator

from chaos.simulator.world import World, drive

from coordinator.disposition import is_poison
from framewire.jobs.states import TERMINAL, can_follow, ends_job, state_name
from framewire.v1.job_pb2 import (
    JOB_STATE_QUEUED,
    JOB_STATE_RUNNING,
    JOB_STATE_SUCCEEDED,
    JOB_STATE_WAITING_UPLOAD,
    Event,
)

INVARIANTS = ("not lost", "one end", "one result", "numbers", "attempts", "nothing left")


def check(world: World) -> Iterator[tuple[str, str]]:
    """Every violation: the invariant and what is wrong."""
    for found in world.violations:
        yield "attempts", found
    letters = {letter.job_id for letter in drive(world.bus.dead_letters.list())}
    for job_id, row in world.database.rows.items():
        log = [world.bus.events._load(number) for number in world.bus.events._by_job[job_id]]
        statuses = [event for event in log if event.HasField("status")]
        if not statuses or statuses[-1].status.state not in TERMINAL:
            yield "not lost", f"{job_id} has not ended: {_story(log)}"
            continue
        if row.state != state_name(statuses[-1].status.state):
            yield "one end", f"{job_id} is {row.state} in the database, its log says {_story(log)}"
        yield from (("one end", f"{job_id}: {wrong}") for wrong in _wrong_turns(log))
        yield from (("one result", f"{job_id}: {wrong}") for wrong in _wrong_result(world, job_id, log[-1]))
        yield from (("attempts", f"{job_id}: {wrong}") for wrong in _wrong_attempts(log, row.order.max_attempts))
        if job_id not in letters and is_poison(log[-1].status.error.code):
            yield "not lost", f"{job_id} failed for good and no dead letter says so"
    yield from _wrong_numbers(world)
    yield from _leftovers(world)


def _wrong_turns(log: list[Event]) -> Iterator[str]:
    """Each state follows from the one before, and whoever has no say any more says nothing."""
    state, running = JOB_STATE_WAITING_UPLOAD, 0
    for event in log:
        if not event.HasField("status"):
            if state != JOB_STATE_RUNNING or event.attempt != running:
                yield f"attempt {event.attempt} speaks out of turn: {_story(log)}"
            continue
        if not can_follow(state, event.status.state):
            yield f"{state_name(event.status.state)} after {state_name(state)}: {_story(log)}"
        state = event.status.state
        running = event.attempt if state == JOB_STATE_RUNNING else running
    if not log[-1].HasField("status"):
        yield f"something is said after the end: {_story(log)}"


def _wrong_result(world: World, job_id: str, end: Event) -> Iterator[str]:
    results = world.database.rows[job_id].results
    if end.status.state != JOB_STATE_SUCCEEDED:
        if results:
            yield f"{len(results)} results of a job that is {state_name(end.status.state)}"
        return
    if len(results) != 1:
        yield f"{len(results)} results"
    output = end.status.outputs[0]
    if world.store.objects.get(output.filename) != output.sha256:
        yield f"the object at {output.filename} is not the one the job ended with"


def _wrong_attempts(log: list[Event], most: int) -> Iterator[str]:
    attempt, given_back = 0, False
    for event in log:
        if event.status.state == JOB_STATE_RUNNING:
            if event.attempt != attempt + 1:
                yield f"attempt {event.attempt} after {attempt}: {_story(log)}"
        elif event.status.state == JOB_STATE_QUEUED and event.HasField("status"):
            given_back = event.attempt == attempt - 1
            if event.attempt not in {attempt, attempt - 1}:
                yield f"queued again with attempt {event.attempt} after {attempt}: {_story(log)}"
        elif event.attempt != attempt:
            yield f"attempt {event.attempt} speaks in attempt {attempt}: {_story(log)}"
        attempt = event.attempt
    if attempt > most:
        yield f"{attempt} attempts of {most}{' (one given back)' if given_back else ''}"


def _wrong_numbers(world: World) -> Iterator[tuple[str, str]]:
    """No gap, no repeat, and no end before the job's own: a watcher that saw a failure has ended when it is retried."""
    for watcher in world.watchers:
        stored, seen = world.bus.events._by_job[watcher.job_id], watcher.seen
        if not seen or seen != stored[: len(seen)] or not ends_job(world.bus.events._load(seen[-1])):
            yield "numbers", f"a watcher of {watcher.job_id} saw {seen} of {stored}"


def _leftovers(world: World) -> Iterator[tuple[str, str]]:
    left = [entry.order.job_id for entry in world.bus.jobs._entries]
    if left:
        yield "nothing left", f"orders in the queue: {left}"
    if world.database.outbox:
        yield "nothing left", f"{len(world.database.outbox)} rows in the outbox"
    held = [worker.name for worker in world.minds() if worker.held is not None]
    if held:
        yield "nothing left", f"jobs held by {held}"


def _story(log: list[Event]) -> str:
    return " ".join(
        f"{state_name(event.status.state)}{event.attempt}" if event.HasField("status") else "." for event in log
    )
