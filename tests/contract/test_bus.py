"""What every bus guarantees: run on the fake and on a real NATS server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from datetime import UTC, datetime, timedelta

import pytest

from framewire.bus import Bus, Controls, ControlState, EventConflict
from framewire.bus.interface import BookConflict
from framewire.bus.nats import NatsBus, NatsSettings
from framewire.jobs.ids import new_job_id
from framewire.testing.bus import MemoryBus
from framewire.v1.job_pb2 import (
    JOB_STATE_FAILED,
    JOB_STATE_QUEUED,
    JOB_STATE_RUNNING,
    JOB_STATE_SUCCEEDED,
    Event,
    JobState,
    Progress,
    StatusChange,
)
from framewire.v1.step_pb2 import LANE_CPU, LANE_GPU, Lane
from framewire.work.v1.work_pb2 import JobOrder, KnownModel, ModelBook, WorkerStatus

ROUNDING = timedelta(milliseconds=1)


@pytest.fixture(params=["memory", "nats"])
async def bus(request: pytest.FixtureRequest) -> AsyncIterator[Bus]:
    async with opened(request) as bus:
        yield bus


@pytest.fixture(params=["memory", "nats"])
async def fast_ageing_bus(request: pytest.FixtureRequest) -> AsyncIterator[Bus]:
    """A microsecond of waiting makes up for a step of priority."""
    async with opened(request, ageing=1e-6) as bus:
        yield bus


@asynccontextmanager
async def opened(request: pytest.FixtureRequest, **settings: float) -> AsyncIterator[Bus]:
    if request.param == "memory":
        bus: Bus = MemoryBus(**settings)
    else:
        server = request.getfixturevalue("own_nats_server")
        bus = await NatsBus.connect(NatsSettings(url=server.url, **settings))  # type: ignore[arg-type]  # by name
    try:
        yield bus
    finally:
        await bus.close()


def order(priority: int = 1, lane: Lane.ValueType = LANE_GPU, job_id: str = "", max_attempts: int = 2) -> JobOrder:
    return JobOrder(job_id=job_id or new_job_id(), priority=priority, lane=lane, max_attempts=max_attempts)


def status(job_id: str, state: JobState.ValueType, attempt: int = 1) -> Event:
    event = Event(job_id=job_id, attempt=attempt, status=StatusChange(state=state))
    event.time.GetCurrentTime()
    return event


def progress(job_id: str, fraction: float) -> Event:
    event = Event(job_id=job_id, attempt=1, progress=Progress(fraction=fraction))
    event.time.GetCurrentTime()
    return event


async def take(events: AsyncIterator[Event], count: int) -> list[Event]:
    async with asyncio.timeout(10):
        return [await anext(events) for _ in range(count)]


# the queue


async def test_a_published_job_is_delivered_once_and_gone_after_its_ack(bus: Bus) -> None:
    sent, before = order(), datetime.now(UTC)
    await bus.jobs.publish(sent)
    delivery = await bus.jobs.pull([LANE_GPU], wait=5)
    assert delivery is not None
    assert delivery.order == sent
    assert before - ROUNDING <= delivery.stored <= datetime.now(UTC) + ROUNDING
    assert await bus.jobs.pull([LANE_GPU], wait=0) is None
    await delivery.ack()
    assert await bus.jobs.pull([LANE_GPU], wait=0) is None


async def test_the_highest_priority_is_served_first_and_equals_in_order_of_arrival(bus: Bus) -> None:
    sent = [order(priority) for priority in (2, 0, 1, 0)]
    for each in sent:
        await bus.jobs.publish(each)
    pulled = []
    for _ in sent:
        delivery = await bus.jobs.pull([LANE_GPU], wait=1)
        assert delivery is not None
        pulled.append(delivery.order.job_id)
    assert pulled == [sent[1].job_id, sent[3].job_id, sent[2].job_id, sent[0].job_id]


async def pulled(bus: Bus, count: int) -> list[str]:
    deliveries = [await bus.jobs.pull([LANE_GPU, LANE_CPU], wait=1) for _ in range(count)]
    return [delivery.order.job_id for delivery in deliveries if delivery is not None]


async def test_a_job_that_waited_long_enough_goes_before_a_higher_priority(fast_ageing_bus: Bus) -> None:
    sent = [order(3), order(2, LANE_CPU), order(0), order(1)]
    for each in sent:
        await fast_ageing_bus.jobs.publish(each)
    assert await pulled(fast_ageing_bus, 4) == [each.job_id for each in sent]


async def test_a_job_that_is_held_does_not_age_for_those_behind_it(fast_ageing_bus: Bus) -> None:
    held, first, second = order(3), order(0), order(3)
    await fast_ageing_bus.jobs.publish(held)
    assert await pulled(fast_ageing_bus, 1) == [held.job_id]
    await fast_ageing_bus.jobs.publish(first)
    await fast_ageing_bus.jobs.publish(second)
    assert await pulled(fast_ageing_bus, 2) == [first.job_id, second.job_id]


async def test_a_worker_gets_jobs_of_its_lanes_only(bus: Bus) -> None:
    for_cpu = order(lane=LANE_CPU)
    await bus.jobs.publish(for_cpu)
    assert await bus.jobs.pull([LANE_GPU], wait=0) is None
    delivery = await bus.jobs.pull([LANE_GPU, LANE_CPU], wait=1)
    assert delivery is not None
    assert delivery.order.job_id == for_cpu.job_id


async def test_a_worker_gets_jobs_of_its_priorities_only(bus: Bus) -> None:
    for priority in (0, 1, 2, 3):
        await bus.jobs.publish(order(priority))
    delivery = await bus.jobs.pull([LANE_GPU], wait=1, priorities=[1, 3])
    assert delivery is not None
    assert delivery.order.priority == 1
    assert await bus.jobs.pull([LANE_GPU], wait=1, priorities=[3]) is not None
    assert await bus.jobs.pull([LANE_GPU], wait=0, priorities=[1, 3]) is None


async def test_overflow_is_taken_only_while_more_than_so_many_wait_in_the_lane(bus: Bus) -> None:
    for priority in (0, 1, 1, 3, 3):
        await bus.jobs.publish(order(priority))
    await bus.jobs.publish(order(lane=LANE_CPU))
    taken = [await bus.jobs.pull([LANE_GPU, LANE_CPU], wait=0, overflow_after=3) for _ in range(3)]
    assert [delivery and (delivery.order.priority, delivery.placement) for delivery in taken] == [
        (0, "overflow: 5 waited, more than 3"),
        (1, "overflow: 4 waited, more than 3"),
        None,
    ]
    own = await bus.jobs.pull([LANE_GPU], wait=0)
    assert own is not None
    assert own.placement == "own"


async def test_overflow_counts_every_priority_but_takes_only_those_that_are_allowed(bus: Bus) -> None:
    for priority in (0, 0, 0, 2):
        await bus.jobs.publish(order(priority))
    taken = [await bus.jobs.pull([LANE_GPU], wait=0, priorities=[2, 3], overflow_after=2) for _ in range(2)]
    assert [delivery and delivery.order.priority for delivery in taken] == [2, None]


async def test_overflow_counts_what_is_held_back_outside_the_queue(bus: Bus) -> None:
    await bus.jobs.publish(order())
    assert await bus.jobs.pull([LANE_GPU], wait=0, overflow_after=10) is None
    await bus.jobs.announce_held_back(LANE_GPU, 10)
    delivery = await bus.jobs.pull([LANE_GPU], wait=0, overflow_after=10)
    assert delivery is not None
    assert delivery.placement == "overflow: 11 waited, more than 10"


async def test_many_overflow_workers_together_take_no_more_than_what_is_over(bus: Bus) -> None:
    for _ in range(8):
        await bus.jobs.publish(order())
    pulls = [bus.jobs.pull([LANE_GPU], wait=0, overflow_after=5) for _ in range(8)]
    assert sum(delivery is not None for delivery in await asyncio.gather(*pulls)) == 3


async def test_a_waiting_overflow_pull_is_woken_when_enough_wait(bus: Bus) -> None:
    pull = asyncio.create_task(bus.jobs.pull([LANE_GPU], wait=10, overflow_after=1))
    await asyncio.sleep(0)
    for _ in range(2):
        await bus.jobs.publish(order())
    async with asyncio.timeout(5):
        assert await pull is not None


async def test_publishing_a_queued_or_held_job_again_changes_nothing(bus: Bus) -> None:
    sent = order()
    await bus.jobs.publish(sent)
    await bus.jobs.publish(sent)
    delivery = await bus.jobs.pull([LANE_GPU], wait=1)
    assert delivery is not None
    await bus.jobs.publish(sent)
    assert await bus.jobs.pull([LANE_GPU], wait=0) is None
    await delivery.ack()
    assert await bus.jobs.pull([LANE_GPU], wait=0) is None


async def test_the_order_of_a_retry_is_queued_beside_the_one_that_is_still_held(bus: Bus) -> None:
    failed = order(max_attempts=2)
    await bus.jobs.publish(failed)
    held = await bus.jobs.pull([LANE_GPU], wait=1)
    assert held is not None
    await bus.jobs.publish(order(job_id=failed.job_id, max_attempts=4))
    await held.ack()
    retry = await bus.jobs.pull([LANE_GPU], wait=1)
    assert retry is not None
    assert (retry.order.job_id, retry.order.max_attempts) == (failed.job_id, 4)


async def test_the_backlog_counts_jobs_that_wait_inside_and_outside_the_queue(bus: Bus) -> None:
    assert await bus.jobs.waiting(LANE_GPU) == 0
    for priority in (0, 1, 1, 3):
        await bus.jobs.publish(order(priority))
    await bus.jobs.publish(order(lane=LANE_CPU))
    await bus.jobs.announce_held_back(LANE_GPU, 40)
    await bus.jobs.announce_held_back(LANE_GPU, 30)
    assert await bus.jobs.pull([LANE_GPU], wait=1) is not None
    assert (await bus.jobs.waiting(LANE_GPU), await bus.jobs.waiting(LANE_CPU)) == (33, 1)


async def test_a_waiting_pull_is_woken_by_a_new_job(bus: Bus) -> None:
    pull = asyncio.create_task(bus.jobs.pull([LANE_GPU], wait=10))
    await asyncio.sleep(0)
    sent = order()
    await bus.jobs.publish(sent)
    async with asyncio.timeout(3):
        delivery = await pull
    assert delivery is not None
    assert delivery.order.job_id == sent.job_id


async def test_a_job_given_back_comes_again_after_its_delay(bus: Bus) -> None:
    await bus.jobs.publish(order())
    delivery = await bus.jobs.pull([LANE_GPU], wait=1)
    assert delivery is not None
    await delivery.retry(0.3)
    assert await bus.jobs.pull([LANE_GPU], wait=0) is None
    again = await bus.jobs.pull([LANE_GPU], wait=5)
    assert again is not None
    assert again.order == delivery.order


async def test_a_removed_job_is_never_delivered(bus: Bus) -> None:
    sent, kept = order(), order()
    await bus.jobs.publish(sent)
    await bus.jobs.publish(kept)
    await bus.jobs.remove(sent)
    delivery = await bus.jobs.pull([LANE_GPU], wait=1)
    assert delivery is not None
    assert delivery.order.job_id == kept.job_id


async def test_a_removal_that_comes_late_leaves_the_order_of_a_retry_in_the_queue(bus: Bus) -> None:
    failed = order()
    retried = JobOrder.FromString(failed.SerializeToString())
    retried.max_attempts = failed.max_attempts + 2
    await bus.jobs.publish(retried)
    await bus.jobs.remove(failed)
    delivery = await bus.jobs.pull([LANE_GPU], wait=1)
    assert delivery is not None
    assert delivery.order == retried


# the log


async def test_events_are_numbered_upwards_and_read_back_in_order(bus: Bus) -> None:
    job = new_job_id()
    first = await bus.events.append(status(job, JOB_STATE_RUNNING), after=0)
    second = await bus.events.append(progress(job, 0.5), after=first)
    third = await bus.events.append(status(job, JOB_STATE_SUCCEEDED), after=second)
    events = [event async for event in bus.events.read(job)]
    assert [event.number for event in events] == [first, second, third]
    assert first < second < third
    assert [event.WhichOneof("kind") for event in events] == ["status", "progress", "status"]


async def test_a_reader_sees_only_its_own_job_and_only_what_comes_after_a_number(bus: Bus) -> None:
    job, other = new_job_id(), new_job_id()
    first = await bus.events.append(progress(job, 0.1), after=0)
    await bus.events.append(progress(other, 0.9), after=0)
    second = await bus.events.append(status(job, JOB_STATE_SUCCEEDED), after=first)
    assert [event.number async for event in bus.events.read(job, after=first)] == [second]


async def test_a_reader_follows_events_to_come_and_ends_with_the_job(bus: Bus) -> None:
    job = new_job_id()
    number = await bus.events.append(status(job, JOB_STATE_RUNNING), after=0)
    async with aclosing(bus.events.read(job)) as events:
        await take(events, 1)
        for fraction in (0.1, 0.2, 0.3):
            number = await bus.events.append(progress(job, fraction), after=number)
        assert [event.progress.fraction for event in await take(events, 3)] == [0.1, 0.2, 0.3]
        await bus.events.append(status(job, JOB_STATE_SUCCEEDED), after=number)
        (last,) = await take(events, 1)
        assert last.status.state == JOB_STATE_SUCCEEDED
        with pytest.raises(StopAsyncIteration):
            await anext(events)


async def test_a_reader_goes_on_behind_a_failure_that_was_retried(bus: Bus) -> None:
    job, number = new_job_id(), 0
    story = [JOB_STATE_RUNNING, JOB_STATE_FAILED, JOB_STATE_QUEUED, JOB_STATE_RUNNING, JOB_STATE_FAILED]
    for state in story:
        number = await bus.events.append(status(job, state), after=number)
    async with asyncio.timeout(10):
        assert [event.status.state async for event in bus.events.read(job)] == story


async def test_two_readers_of_one_job_see_the_same_numbers(bus: Bus) -> None:
    job, number = new_job_id(), 0

    async def read() -> list[int]:
        return [event.number async for event in bus.events.read(job)]

    early = asyncio.create_task(read())
    for step in range(600):  # more than one batch of history
        number = await bus.events.append(progress(job, step / 600), after=number)
    late = asyncio.create_task(read())
    await bus.events.append(status(job, JOB_STATE_SUCCEEDED), after=number)
    async with asyncio.timeout(15):
        assert await early == await late
    assert len(early.result()) == 601


async def test_an_append_after_an_old_number_is_refused_and_shows_the_newest_event(bus: Bus) -> None:
    job = new_job_id()
    first = await bus.events.append(status(job, JOB_STATE_RUNNING, attempt=1), after=0)
    second = await bus.events.append(status(job, JOB_STATE_RUNNING, attempt=2), after=first)
    with pytest.raises(EventConflict) as refused:
        await bus.events.append(status(job, JOB_STATE_SUCCEEDED, attempt=1), after=first)
    assert refused.value.last is not None
    assert (refused.value.last.number, refused.value.last.attempt) == (second, 2)


async def test_of_many_concurrent_appends_exactly_one_wins(bus: Bus) -> None:
    job = new_job_id()
    tries = [bus.events.append(progress(job, fraction / 20), after=0) for fraction in range(20)]
    results = await asyncio.gather(*tries, return_exceptions=True)
    assert sum(isinstance(result, int) for result in results) == 1
    assert sum(isinstance(result, EventConflict) for result in results) == 19


async def test_the_newest_event_is_known_and_there_is_none_before_the_first(bus: Bus) -> None:
    job = new_job_id()
    assert await bus.events.last(job) is None
    number = await bus.events.append(status(job, JOB_STATE_QUEUED), after=0)
    last = await bus.events.last(job)
    assert last is not None
    assert last.number == number
    assert last.status.state == JOB_STATE_QUEUED


async def test_a_feed_repeats_what_was_not_acknowledged_when_it_is_opened_again(bus: Bus) -> None:
    job, numbers = new_job_id(), [0]
    for fraction in (0.1, 0.2, 0.3):
        numbers.append(await bus.events.append(progress(job, fraction), after=numbers[-1]))
    feed = await bus.events.open_feed("recorder")
    received = await feed.fetch(batch=10, wait=5)
    assert [each.event.number for each in received] == numbers[1:]
    for each in received:
        await each.ack()
    assert await feed.fetch(batch=10, wait=0.1) == []
    numbers.append(await bus.events.append(progress(job, 0.4), after=numbers[-1]))
    (new,) = await feed.fetch(batch=10, wait=5)
    assert new.event.number == numbers[-1]
    await new.ack()
    await feed.close()


# the boards


async def test_a_requested_cancellation_is_known_and_seen_by_watchers(bus: Bus) -> None:
    before, job = new_job_id(), new_job_id()
    await bus.cancellations.request(before)
    async with aclosing(bus.cancellations.watch()) as requests:
        waiting = asyncio.create_task(anext(requests))
        assert not await bus.cancellations.is_requested(job)
        async with asyncio.timeout(5):
            while not waiting.done():  # the watcher may not listen yet at the first request
                await bus.cancellations.request(job)
                await asyncio.wait({waiting}, timeout=0.1)
        assert waiting.result() == job
    assert await bus.cancellations.is_requested(job)
    assert await bus.cancellations.is_requested(before)


async def test_a_withdrawn_cancellation_is_forgotten_until_it_is_asked_for_again(bus: Bus) -> None:
    job, other = new_job_id(), new_job_id()
    await bus.cancellations.withdraw(job)
    for each in (job, other):
        await bus.cancellations.request(each)
    await bus.cancellations.withdraw(job)
    assert not await bus.cancellations.is_requested(job)
    assert await bus.cancellations.is_requested(other)
    await bus.cancellations.request(job)
    assert await bus.cancellations.is_requested(job)


async def test_announced_workers_live_until_they_withdraw(bus: Bus) -> None:
    await bus.workers.announce(WorkerStatus(worker="a.local", slots=3))
    await bus.workers.announce(WorkerStatus(worker="b.local", slots=1))
    await bus.workers.announce(WorkerStatus(worker="a.local", slots=2))
    assert {(each.worker, each.slots) for each in await bus.workers.live()} == {("a.local", 2), ("b.local", 1)}
    await bus.workers.withdraw("a.local")
    assert [each.worker for each in await bus.workers.live()] == ["b.local"]


async def until(controls: Controls, wanted: ControlState) -> None:
    async with asyncio.timeout(5), aclosing(controls.watch()) as states:  # type: ignore[type-var]  # watchers are generators
        async for state in states:
            if state == wanted:
                return


async def test_a_paused_lane_is_paused_until_it_is_resumed(bus: Bus) -> None:
    assert await bus.controls.paused() == frozenset()
    await bus.controls.pause(LANE_CPU)
    await bus.controls.pause(LANE_CPU)
    await bus.controls.pause(LANE_GPU)
    assert await bus.controls.paused() == {LANE_CPU, LANE_GPU}
    await bus.controls.resume(LANE_CPU)
    await bus.controls.resume(LANE_CPU)
    assert await bus.controls.paused() == {LANE_GPU}


async def test_a_worker_drains_until_it_is_told_otherwise_whatever_its_name(bus: Bus) -> None:
    assert await bus.controls.draining() == frozenset()
    await bus.controls.drain("gpu-1.example.org")
    await bus.controls.drain("gpu-1-example-org")
    await bus.controls.drain("lane > *")
    await bus.controls.undrain("nobody")
    assert await bus.controls.draining() == {"gpu-1.example.org", "gpu-1-example-org", "lane > *"}
    assert await bus.controls.paused() == frozenset()
    await bus.controls.undrain("lane > *")
    await bus.controls.undrain("gpu-1-example-org")
    assert await bus.controls.draining() == {"gpu-1.example.org"}


async def test_a_watcher_of_the_controls_sees_what_holds_and_each_change_at_once(bus: Bus) -> None:
    await bus.controls.drain("w1")
    async with aclosing(bus.controls.watch()) as states:  # type: ignore[type-var]  # watchers are generators
        async with asyncio.timeout(5):
            assert await anext(states) == ControlState(draining=frozenset({"w1"}))
    watching = asyncio.create_task(until(bus.controls, ControlState(paused=frozenset({LANE_GPU}))))
    await bus.controls.pause(LANE_GPU)
    await bus.controls.undrain("w1")
    await watching


# dead letters


async def test_a_wish_about_a_model_replaces_the_one_before_and_an_equal_one_is_another(bus: Bus) -> None:
    async with aclosing(bus.controls.watch()) as states:  # type: ignore[type-var]  # watchers are generators
        await anext(states)
        requests = []
        for ask, pinned in ((bus.controls.pin, True), (bus.controls.pin, True), (bus.controls.unpin, False)):
            await ask("enhance.x2")
            async with asyncio.timeout(10):
                state = await anext(states)
                while not state.models or [wish.request for wish in state.models] == requests[-1:]:
                    state = await anext(states)
            (wish,) = state.models
            assert (wish.model, wish.pinned) == ("enhance.x2", pinned)
            requests.append(wish.request)
    assert len({*requests}) == 3


# the books of models


async def test_a_book_is_empty_before_it_is_written_and_read_back_as_it_was(bus: Bus) -> None:
    assert await bus.models.read("127.0.0.1:8001") == (ModelBook(), 0)
    book = ModelBook(models=[KnownModel(name="a", memory_bytes=5)], uses=3)
    number = await bus.models.write("127.0.0.1:8001", book, after=0)
    assert await bus.models.read("127.0.0.1:8001") == (book, number)
    assert await bus.models.read("another") == (ModelBook(), 0)


async def test_a_book_that_was_changed_meanwhile_cannot_be_overwritten(bus: Bus) -> None:
    first = await bus.models.write("s", ModelBook(uses=1), after=0)
    second = await bus.models.write("s", ModelBook(uses=2), after=first)
    for stale in (0, first):
        with pytest.raises(BookConflict):
            await bus.models.write("s", ModelBook(uses=9), after=stale)
    assert await bus.models.read("s") == (ModelBook(uses=2), second)


async def test_of_many_who_change_a_book_at_once_one_wins(bus: Bus) -> None:
    tries = [bus.models.write("s", ModelBook(uses=n), after=0) for n in range(1, 9)]
    results = await asyncio.gather(*tries, return_exceptions=True)
    assert sum(isinstance(result, int) for result in results) == 1
    assert sum(isinstance(result, BookConflict) for result in results) == 7


async def test_who_waits_for_a_book_to_change_is_woken(bus: Bus) -> None:
    number = await bus.models.write("s", ModelBook(uses=1), after=0)
    assert not await bus.models.changed("s", after=number, wait=0.01)
    assert await bus.models.changed("s", after=0, wait=0.0)
    waiting = asyncio.create_task(bus.models.changed("s", after=number, wait=10))
    await asyncio.sleep(0)
    await bus.models.write("s", ModelBook(uses=2), after=number)
    async with asyncio.timeout(5):
        assert await waiting


async def test_a_letter_says_which_order_died_of_what_and_when(bus: Bus) -> None:
    dead = order()
    await bus.dead_letters.bury(dead, "INTERNAL: two\nlines", history=["1 RUNNING", "1 FAILED"])
    (letter,) = await bus.dead_letters.list()
    assert (letter.order, letter.job_id, letter.payload) == (dead, dead.job_id, dead.SerializeToString())
    assert (letter.reason, letter.history) == ("INTERNAL: two lines", ("1 RUNNING", "1 FAILED"))
    assert abs(datetime.now(UTC) - letter.time) < timedelta(minutes=1)
    assert await bus.dead_letters.get(letter.number) == letter


async def test_letters_are_listed_in_pages_oldest_first(bus: Bus) -> None:
    buried = [order() for _ in range(5)]
    for each in buried:
        await bus.dead_letters.bury(each, "why not")
    first = await bus.dead_letters.list(limit=3)
    rest = await bus.dead_letters.list(after=first[-1].number, limit=3)
    assert [letter.order for letter in [*first, *rest]] == buried
    assert await bus.dead_letters.list(after=rest[-1].number) == []


async def test_a_dropped_letter_is_gone_and_dropping_it_again_changes_nothing(bus: Bus) -> None:
    await bus.dead_letters.bury(gone := order(), "why not")
    await bus.dead_letters.bury(kept := order(), "why not")
    number = (await bus.dead_letters.list())[0].number
    await bus.dead_letters.drop(number)
    await bus.dead_letters.drop(number)
    assert await bus.dead_letters.get(number) is None
    assert await bus.dead_letters.get(0) is None
    assert await bus.dead_letters.get(4711) is None
    assert [letter.job_id for letter in await bus.dead_letters.list()] == [kept.job_id]
    assert gone.job_id != kept.job_id


async def test_a_job_has_one_letter_the_newest(bus: Bus) -> None:
    dead = order()
    await bus.dead_letters.bury(dead, "the first time")
    (first,) = await bus.dead_letters.list()
    await bus.dead_letters.bury(dead, "the second time")
    (letter,) = await bus.dead_letters.list()
    assert letter.reason == "the second time"
    assert letter.number > first.number
    assert await bus.dead_letters.get(first.number) is None
