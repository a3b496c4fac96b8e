"""What only a real NATS server can show: restarts, lost answers, letters nobody can read."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

import pytest
from servers import NatsServer

from framewire.bus import streams
from framewire.bus.nats import NatsBus, NatsSettings
from framewire.errors import ErrorCode, Unavailable
from framewire.jobs.ids import new_job_id
from framewire.v1.job_pb2 import JOB_STATE_SUCCEEDED, Event, LogLine, StatusChange
from framewire.v1.step_pb2 import LANE_GPU
from framewire.work.v1.work_pb2 import JobOrder


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


async def test_an_order_that_cannot_be_read_is_buried_and_does_not_block_the_lane(nats_bus: NatsBus) -> None:
    js = nats_bus._connection.js
    broken = JobOrder(job_id="job_broken", lane=LANE_GPU, priority=0)
    await js.publish(streams.job_subject(broken), b"\xff not a message")
    good = JobOrder(job_id=new_job_id(), lane=LANE_GPU, priority=0)
    await nats_bus.jobs.publish(good)
    delivery = await nats_bus.jobs.pull([LANE_GPU], wait=5)
    assert delivery is not None
    assert delivery.order == good
    (letter,) = await nats_bus.dead_letters.list()
    assert (letter.job_id, letter.order, letter.payload) == ("job_broken", None, b"\xff not a message")
    assert letter.reason == "the order cannot be read"


async def test_without_a_server_connecting_fails_with_a_typed_error() -> None:
    with pytest.raises(Unavailable) as refused:
        await NatsBus.connect(NatsSettings(url="nats://somebody:password@127.0.0.1:9", connect_timeout=0.5))
    assert refused.value.code is ErrorCode.BUS_UNAVAILABLE
    assert refused.value.message == "no NATS server answers at nats://127.0.0.1:9"
