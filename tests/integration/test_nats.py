"""What only a real NATS server can show: restarts, lost answers, letters nobody can read."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
from collections.abc import Iterable, Sequence
from contextlib import aclosing

import nats.errors
import pytest
from servers import NatsServer

from framewire.bus import DeadLetter, jobs, streams
from framewire.bus.backlog import Waiting
from framewire.bus.nats import NatsBus, NatsSettings
from framewire.errors import ErrorCode, Unavailable
from framewire.jobs.ids import new_job_id
from framewire.v1.job_pb2 import JOB_STATE_SUCCEEDED, Event, LogLine, StatusChange
from framewire.v1.step_pb2 import LANE_GPU, Lane
from framewire.work.v1.work_pb2 import JobOrder, WorkerStatus


def line(job_id: str, text: str) -> Event:
    return Event(job_id=job_id, log=LogLine(text=text))


async def test_a_reader_continues_without_gap_or_repeat_when_the_server_is_killed_and_comes_back(
    own_nats_server: NatsServer, nats_bus: NatsBus
) -> None:
    job = new_job_id()
    number = await nats_bus.events.append(line(job, "0"), after=0)
    async with aclosing(nats_bus.events.read(job)) as events, asyncio.timeout(30):
        seen = [await anext(events)]
        await asyncio.to_thread(own_nats_server.kill)
        await asyncio.to_thread(own_nats_server.start)
        writer = await NatsBus.connect(NatsSettings(url=own_nats_server.url))
        for text in ("1", "2"):
            number = await writer.events.append(line(job, text), after=number)
        await writer.events.append(Event(job_id=job, status=StatusChange(state=JOB_STATE_SUCCEEDED)), after=number)
        await writer.close()
        seen += [event async for event in events]
    assert [event.log.text for event in seen[:-1]] == ["0", "1", "2"]
    assert seen[-1].status.state == JOB_STATE_SUCCEEDED


async def test_an_append_whose_answer_was_lost_can_be_repeated(nats_bus: NatsBus) -> None:
    event = line(new_job_id(), "once")
    number = await nats_bus.events.append(event, after=0)
    assert await nats_bus.events.append(event, after=0) == number


async def test_streams_survive_a_restart_of_the_server(own_nats_server: NatsServer, nats_bus: NatsBus) -> None:
    order = JobOrder(job_id=new_job_id(), lane=LANE_GPU, priority=1)
    await nats_bus.jobs.publish(order)
    await asyncio.to_thread(own_nats_server.kill)
    await asyncio.to_thread(own_nats_server.start)
    again = await NatsBus.connect(NatsSettings(url=own_nats_server.url))
    delivery = await again.jobs.pull([LANE_GPU], wait=5)
    await again.close()
    assert delivery is not None
    assert delivery.order == order


@pytest.mark.parametrize("content", [b"\xff not a message", b"", JobOrder(job_id="another").SerializeToString()])
async def test_an_order_that_cannot_be_read_is_buried_and_does_not_block_the_lane(
    nats_bus: NatsBus, content: bytes
) -> None:
    js = nats_bus._connection.js
    broken = JobOrder(job_id="job_broken", lane=LANE_GPU, priority=0)
    await js.publish(streams.job_subject(broken), content)
    good = JobOrder(job_id=new_job_id(), lane=LANE_GPU, priority=0)
    await nats_bus.jobs.publish(good)
    delivery = await nats_bus.jobs.pull([LANE_GPU], wait=5)
    assert delivery is not None
    assert delivery.order == good
    (letter,) = await nats_bus.dead_letters.list()
    assert (letter.job_id, letter.payload) == ("job_broken", content)
    assert letter.reason == "the order cannot be read"


@pytest.mark.parametrize("early", [0, 1, 4])
async def test_an_order_heard_of_before_its_consumer_knows_of_it_is_found_soon(
    nats_bus: NatsBus, monkeypatch: pytest.MonkeyPatch, early: int
) -> None:
    # so that only the looks behind a hint can find it
    monkeypatch.setattr(jobs, "_LOOK_AGAIN", 3600.0)
    look, looks, looked = nats_bus.jobs._backlog.look, 0, asyncio.Event()

    async def look_early(lanes: Iterable[Lane.ValueType]) -> list[Waiting]:
        nonlocal looks
        looks += 1
        looked.set()
        return [] if looks <= 1 + early else await look(lanes)

    nats_bus.jobs._pause = jobs._LOOK_AGAIN
    monkeypatch.setattr(nats_bus.jobs._backlog, "look", look_early)
    pull = asyncio.create_task(nats_bus.jobs.pull([LANE_GPU], wait=20))
    await looked.wait()  # truly nothing is there
    await nats_bus.jobs.publish(JobOrder(job_id=new_job_id(), lane=LANE_GPU, priority=1))
    assert await pull is not None


async def test_a_watcher_of_the_controls_outlives_the_server_and_hears_what_comes_after(
    own_nats_server: NatsServer, nats_bus: NatsBus
) -> None:
    await nats_bus.controls.pause(LANE_GPU)
    async with aclosing(nats_bus.controls.watch()) as states, asyncio.timeout(30):  # type: ignore[type-var]  # a generator
        assert (await anext(states)).paused == {LANE_GPU}
        await asyncio.to_thread(own_nats_server.kill)
        await asyncio.to_thread(own_nats_server.start)
        other = await NatsBus.connect(NatsSettings(url=own_nats_server.url))
        await other.controls.drain("w1")
        async for state in states:
            assert state.paused == {LANE_GPU}
            if state.draining:
                break
        await other.close()
    assert state.draining == {"w1"}


async def test_an_order_that_was_terminated_by_hand_leaves_the_servers_word_in_the_dead_letters(
    nats_bus: NatsBus,
) -> None:
    await nats_bus.jobs.publish(JobOrder(job_id=new_job_id(), lane=LANE_GPU, priority=2))
    delivery = await nats_bus.jobs.pull([LANE_GPU], wait=5)
    assert delivery is not None
    await delivery._message.term()
    (letter,) = await first_letters(nats_bus)
    assert letter.reason == "MSG_TERMINATED: consumer gpu-2 handed it out 1 times"
    assert (letter.job_id, letter.order) == ("", None)
    assert await nats_bus.jobs.pull([LANE_GPU], wait=0) is None


async def test_an_order_a_consumer_hands_out_no_more_is_in_the_dead_letters(nats_bus: NatsBus) -> None:
    config = {"durable_name": "gpu-0", "name": "gpu-0", "filter_subject": "jobs.gpu.0.>", "ack_policy": "explicit"}
    config |= {"max_deliver": 1, "ack_wait": 10**9, "priority_groups": ["workers"], "priority_policy": "overflow"}
    request = json.dumps({"stream_name": "JOBS", "config": config}).encode()
    await nats_bus._connection.client.request("$JS.API.CONSUMER.CREATE.JOBS.gpu-0", request)
    sent = JobOrder(job_id=new_job_id(), lane=LANE_GPU, priority=0)
    await nats_bus.jobs.publish(sent)
    assert await nats_bus.jobs.pull([LANE_GPU], wait=5) is not None
    (letter,) = await first_letters(nats_bus)
    assert letter.reason == "MAX_DELIVERIES: consumer gpu-0 handed it out 1 times"
    assert (letter.job_id, letter.order) == (sent.job_id, sent)


async def first_letters(bus: NatsBus) -> Sequence[DeadLetter]:
    """The letters once there are some: the server writes its advisories in its own time."""
    stored = await bus._connection.client.subscribe("$JS.EVENT.ADVISORY.CONSUMER.>")
    async with asyncio.timeout(10):
        while not (letters := await bus.dead_letters.list()):
            with contextlib.suppress(nats.errors.TimeoutError):
                await stored.next_msg(timeout=0.2)
    return letters


async def test_without_a_server_connecting_fails_with_a_typed_error() -> None:
    with pytest.raises(Unavailable) as refused:
        await NatsBus.connect(NatsSettings(url="nats://somebody:password@127.0.0.1:9", connect_timeout=0.5))
    assert refused.value.code is ErrorCode.BUS_UNAVAILABLE
    assert refused.value.message == "no NATS server answers at nats://127.0.0.1:9"


async def test_a_long_and_heavy_log_is_read_without_waiting_for_the_next_look(nats_bus: NatsBus) -> None:
    job, number = new_job_id(), 0
    for _ in range(40):  # 36 MB: more than the server puts into one page of a direct get
        number = await nats_bus.events.append(line(job, "x" * 900_000), after=number)
    end = Event(job_id=job, status=StatusChange(state=JOB_STATE_SUCCEEDED))
    await nats_bus.events.append(end, after=number)
    async with asyncio.timeout(2.9):  # a reader that takes the early end of a page for the end waits 3 s
        assert len([event async for event in nats_bus.events.read(job)]) == 41


async def test_a_board_of_any_size_can_be_listed(nats_bus: NatsBus) -> None:
    for number in range(1100):  # the server refuses a `multi_last` of more than 1,024 keys
        await nats_bus.cancellations.request(f"job_{number}")
    listed = [job_id async for job_id in nats_bus.cancellations._all()]
    assert sorted(listed) == sorted(f"job_{number}" for number in range(1100))


async def test_workers_are_seen_again_when_the_server_was_restarted(
    own_nats_server: NatsServer, nats_bus: NatsBus
) -> None:
    found_again = nats_bus._connection.reconnected
    await asyncio.to_thread(own_nats_server.kill)
    await asyncio.to_thread(own_nats_server.start)
    async with asyncio.timeout(10):
        await found_again.wait()
    await nats_bus.workers.announce(WorkerStatus(worker="w"))
    assert [status.worker for status in await nats_bus.workers.live()] == ["w"]


async def test_a_server_that_lost_everything_is_set_up_again_by_those_who_reconnect(
    own_nats_server: NatsServer, nats_bus: NatsBus
) -> None:
    found_again = nats_bus._connection.reconnected
    await asyncio.to_thread(own_nats_server.kill)
    shutil.rmtree(own_nats_server.folder / "jetstream")
    await asyncio.to_thread(own_nats_server.start)
    async with asyncio.timeout(10):
        await found_again.wait()
        await restored(nats_bus)
    order = JobOrder(job_id=new_job_id(), lane=LANE_GPU, priority=1)
    await nats_bus.jobs.publish(order)
    delivery = await nats_bus.jobs.pull([LANE_GPU], wait=5)
    assert delivery is not None
    assert delivery.order == order
    await nats_bus.workers.announce(WorkerStatus(worker="w"))
    assert [status.worker for status in await nats_bus.workers.live()] == ["w"]


async def restored(bus: NatsBus) -> None:
    if task := bus._connection._restoring:
        await asyncio.wait({task})


async def test_a_feed_whose_position_the_server_lost_says_so_and_can_be_opened_again(nats_bus: NatsBus) -> None:
    job = new_job_id()
    await nats_bus.events.append(line(job, "0"), after=0)
    feed = await nats_bus.events.open_feed("recorder")
    await nats_bus._connection.js.delete_consumer(streams.EVENTS, "recorder")
    with pytest.raises(Unavailable):
        async with asyncio.timeout(2):
            await feed.fetch(batch=10, wait=5)
    await feed.close()
    again = await nats_bus.events.open_feed("recorder")
    assert [received.event.log.text for received in await again.fetch(batch=10, wait=5)] == ["0"]


async def test_bytes_that_are_no_event_do_not_hold_up_a_feed(
    nats_bus: NatsBus, caplog: pytest.LogCaptureFixture
) -> None:
    job = new_job_id()
    await nats_bus.events.append(line(job, "0"), after=0)
    broken = await nats_bus._connection.js.publish(streams.event_subject(new_job_id()), b"\xff not an event")
    await nats_bus.events.append(line(new_job_id(), "1"), after=0)
    feed = await nats_bus.events.open_feed("recorder")
    async with asyncio.timeout(10):
        texts: list[str] = []
        while len(texts) < 2:
            texts += [received.event.log.text for received in await feed.fetch(batch=10, wait=1)]
    assert texts == ["0", "1"]
    assert f"number {broken.seq}" in caplog.text


async def test_what_a_dead_reader_of_the_feed_did_not_acknowledge_comes_again_within_seconds(nats_bus: NatsBus) -> None:
    event = Event(job_id=new_job_id(), workspace_id="w")
    number = await nats_bus.events.append(event, after=0)
    dead = await nats_bus.events.open_feed("reader")
    assert [received.event.number for received in await dead.fetch(batch=9, wait=5)] == [number]
    await dead.close()
    alive = await nats_bus.events.open_feed("reader")
    assert [received.event.number for received in await alive.fetch(batch=9, wait=6)] == [number]
