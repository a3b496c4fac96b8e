"""Watching: the same events with the same numbers on every wire, and nothing left behind."""

from __future__ import annotations

import asyncio
import json
from contextlib import aclosing
from unittest.mock import AsyncMock

import grpc
import pytest

from framewire.db.jobs import JobStore
from framewire.errors import Unavailable
from framewire.v1.job_pb2 import (
    JOB_STATE_FAILED,
    JOB_STATE_QUEUED,
    JOB_STATE_RUNNING,
    JOB_STATE_SUCCEEDED,
    Error,
    Event,
    GetJobRequest,
    Progress,
    RetryJobRequest,
    WatchJobRequest,
)
from framewire.v1.step_pb2 import LANE_GPU
from gateway import watch
from gateway.rest import streaming
from gateway.rpc import calls

SSE = {"Accept": "text/event-stream"}


async def finished_job(here) -> str:
    job = await here.submit((await here.upload()).asset_id)
    await here.bus.jobs.pull([LANE_GPU], wait=5)
    number = await here.say(job.job_id, JOB_STATE_RUNNING)
    event = Event(job_id=job.job_id, attempt=1, progress=Progress(stage="process", fraction=0.5))
    await here.bus.events.append(event, after=number)
    await here.say(job.job_id, JOB_STATE_SUCCEEDED)
    return job.job_id


async def over_grpc(here, job_id: str, after: int = 0) -> list[tuple[int, str]]:
    call = here.jobs.WatchJob(WatchJobRequest(job_id=job_id, after_event=after))
    return [(event.number, event.WhichOneof("kind")) async for event in call]


async def over_sse(here, job_id: str, *, query: str = "", **headers: str) -> list[tuple[int, str]]:
    async with here.http.get(here.url(f"/v1/jobs/{job_id}:watch{query}"), headers={**SSE, **headers}) as answer:
        assert answer.status in {200, 204}
        records = [dict(line.split(": ", 1) for line in record.splitlines()) for record in blocks(await answer.text())]
    for record in records:
        assert json.loads(record["data"])["number"] == record["id"]
    return [(int(record["id"]), record["event"]) for record in records]


def blocks(text: str) -> list[str]:
    """The events; what comes before the first says only how soon to come back."""
    reconnect, *events = [block for block in text.split("\n\n") if block] or [""]
    assert reconnect in {"", "retry: 1000"}
    return events


async def test_grpc_and_server_sent_events_tell_the_same(here):
    job_id = await finished_job(here)
    events = await over_grpc(here, job_id)
    assert [kind for _, kind in events] == ["status", "status", "progress", "status"]
    assert await over_sse(here, job_id) == events


@pytest.mark.parametrize("attempt", range(5))
async def test_who_has_seen_the_end_gets_the_same_answer_from_get(here, attempt):
    job = await here.submit((await here.upload()).asset_id)
    await here.bus.jobs.pull([LANE_GPU], wait=5)
    call = here.jobs.WatchJob(WatchJobRequest(job_id=job.job_id))
    await here.say(job.job_id, JOB_STATE_RUNNING)
    await here.say(job.job_id, JOB_STATE_SUCCEEDED)
    last = [event async for event in call][-1]
    seen = await here.jobs.GetJob(GetJobRequest(job_id=job.job_id))
    assert (seen.state, seen.last_event) == (last.status.state, last.number)


async def test_an_end_that_is_not_recorded_in_time_is_told_all_the_same(here, monkeypatch):
    monkeypatch.setattr(watch, "RECORDED_WITHIN", 0.1)
    job = await here.submit((await here.upload()).asset_id)
    await here.bus.jobs.pull([LANE_GPU], wait=5)
    monkeypatch.setattr(JobStore, "fold", AsyncMock(side_effect=Unavailable("the database is away")))
    await here.say(job.job_id, JOB_STATE_SUCCEEDED)
    async with asyncio.timeout(5):
        assert (await over_grpc(here, job.job_id))[-1][1] == "status"


async def test_a_watcher_that_comes_back_gets_what_it_missed(here):
    job_id = await finished_job(here)
    events = await over_grpc(here, job_id)
    second = events[1][0]
    assert await over_grpc(here, job_id, after=second) == events[2:]
    assert await over_sse(here, job_id, query=f"?afterEvent={second}") == events[2:]
    assert await over_sse(here, job_id, **{"Last-Event-ID": str(second)}) == events[2:]
    both = await over_sse(here, job_id, query="?after_event=0", **{"Last-Event-ID": str(second)})
    assert both == events[2:]


async def test_a_watcher_that_has_seen_the_end_is_told_to_stay_away(here):
    job_id = await finished_job(here)
    last = (await over_grpc(here, job_id))[-1][0]
    assert await over_grpc(here, job_id, after=last) == []
    async with here.http.get(
        here.url(f"/v1/jobs/{job_id}:watch"), headers={**SSE, "Last-Event-ID": str(last)}
    ) as answer:
        assert answer.status == 204


async def test_a_last_event_id_that_is_none_is_refused(here):
    job_id = await finished_job(here)
    async with here.http.get(here.url(f"/v1/jobs/{job_id}:watch"), headers={"Last-Event-ID": "x"}) as answer:
        assert answer.status == 400


async def test_events_arrive_while_the_job_runs(here):
    job = await here.submit((await here.upload()).asset_id)
    call = here.jobs.WatchJob(WatchJobRequest(job_id=job.job_id))
    assert (await call.read()).status.state == JOB_STATE_QUEUED
    number = await here.say(job.job_id, JOB_STATE_RUNNING)
    assert (await call.read()).number == number
    await here.say(job.job_id, JOB_STATE_FAILED, error=Error(code="X"))
    assert (await call.read()).status.error.code == "X"
    assert await call.read() == grpc.aio.EOF


async def test_one_that_reads_slowly_gets_every_event_in_order(here):
    """4 MB, more than the sockets hold: the gateway hands events over, is refused, waits, and hands over again."""
    job = await here.submit((await here.upload()).asset_id)
    await here.relayed()
    number = await here.say(job.job_id, JOB_STATE_RUNNING)
    reader, writer = await asyncio.open_connection("127.0.0.1", here.gateway.rest.port, limit=1 << 16)
    writer.write(f"GET /v1/jobs/{job.job_id}:watch HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    await reader.readuntil(b"\r\n\r\n")
    for step in range(400):
        event = Event(job_id=job.job_id, attempt=1, progress=Progress(stage="x" * 10_000, frames_done=step))
        number = await here.bus.events.append(event, after=number)
        if step % 20 == 0:
            await asyncio.sleep(0)  # the gateway's turn
    await here.say(job.job_id, JOB_STATE_FAILED)
    lines = []
    async with asyncio.timeout(20):
        while size := int(await reader.readline(), 16):
            lines.append(json.loads((await reader.readexactly(size + 2))[:-2]))
    writer.close()
    assert [int(line["number"]) for line in lines] == list(range(1, 404))
    assert [line["progress"].get("framesDone", "0") for line in lines[2:-1]] == [str(step) for step in range(400)]


async def test_a_grpc_watcher_that_reads_nothing_loses_its_place(here, monkeypatch, readers):
    monkeypatch.setattr(calls, "STALLED", 0.3)
    job = await here.submit((await here.upload()).asset_id)
    await here.relayed()
    number = await here.say(job.job_id, JOB_STATE_RUNNING)
    call = here.jobs.WatchJob(WatchJobRequest(job_id=job.job_id))
    await call.read()
    for _ in range(400):
        event = Event(job_id=job.job_id, attempt=1, progress=Progress(stage="x" * 100_000))
        number = await here.bus.events.append(event, after=number)
    async with asyncio.timeout(10):
        await readers[0].wait()
    assert here.gateway.rpc._pipeline._gate._streams == 0


async def test_a_log_that_has_forgotten_is_replaced_by_what_the_row_remembers(here):
    job_id = await finished_job(here)
    last = (await over_grpc(here, job_id))[-1][0]
    recorded = await here.recorded(job_id, last)
    here.bus.events._by_job.clear()
    call = here.jobs.WatchJob(WatchJobRequest(job_id=job_id))
    events = [event async for event in call]
    assert [(event.number, event.status.state) for event in events] == [(last, recorded.state)]
    assert await over_sse(here, job_id) == [(last, "status")]
    assert await over_grpc(here, job_id, after=last) == []


async def test_a_silent_stream_shows_signs_of_life(here, monkeypatch):
    monkeypatch.setattr(streaming, "HEARTBEAT", 0.05)
    job = await here.submit((await here.upload()).asset_id)
    async with here.http.get(here.url(f"/v1/jobs/{job.job_id}:watch"), headers=SSE) as answer:
        assert answer.headers["Content-Type"].startswith("text/event-stream")
        async with asyncio.timeout(5):
            for expected in (b"retry: ", b"\n", b"id: ", b"event: status", b"data: {", b"\n", b": still here"):
                assert (await answer.content.readline()).startswith(expected)


@pytest.fixture
def readers(here, monkeypatch) -> list[asyncio.Event]:
    """An event for every reader of the log that was opened, set when it was closed."""
    opened: list[asyncio.Event] = []
    read = here.bus.events.read

    async def counted(job_id: str, *, after: int = 0):
        closed = asyncio.Event()
        opened.append(closed)
        try:
            async with aclosing(read(job_id, after=after)) as events:
                async for event in events:
                    yield event
        finally:
            closed.set()

    monkeypatch.setattr(here.bus.events, "read", counted)
    return opened


async def test_a_watcher_that_goes_away_leaves_nothing_behind(here, readers):
    job = await here.submit((await here.upload()).asset_id)
    call = here.jobs.WatchJob(WatchJobRequest(job_id=job.job_id))
    await call.read()
    call.cancel()
    answer = await here.http.get(here.url(f"/v1/jobs/{job.job_id}:watch"), headers=SSE)
    await answer.content.readline()
    answer.close()
    async with asyncio.timeout(5):
        for closed in readers:
            await closed.wait()
    assert len(readers) == 2


async def test_a_gateway_that_stops_sends_its_watchers_elsewhere(here, readers):
    job = await here.submit((await here.upload()).asset_id)
    call = here.jobs.WatchJob(WatchJobRequest(job_id=job.job_id))
    await call.read()
    answer = await here.http.get(here.url(f"/v1/jobs/{job.job_id}:watch"), headers=SSE)
    await answer.content.readline()
    async with asyncio.timeout(5):
        await here.gateway.stop()
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call.read()
    assert caught.value.code() == grpc.StatusCode.UNAVAILABLE
    assert "SERVER_STOPPING" in (await answer.text())
    assert all(closed.is_set() for closed in readers)


async def test_who_watches_a_job_that_was_just_retried_sees_it_run_again(here):
    job = await here.submit((await here.upload()).asset_id)
    await here.bus.jobs.pull([LANE_GPU], wait=5)
    failed = await here.say(job.job_id, JOB_STATE_FAILED, error=Error(code="X"))
    await here.recorded(job.job_id, failed)
    for work in here.gateway._background:
        await work.stop()  # nobody tells the log of the retry for now
    await here.jobs.RetryJob(RetryJobRequest(job_id=job.job_id))
    calls = [here.jobs.WatchJob(WatchJobRequest(job_id=job.job_id, after_event=after)) for after in (0, failed)]
    first = [await calls[0].read() for _ in range(2)]
    assert [event.status.state for event in first] == [JOB_STATE_QUEUED, JOB_STATE_FAILED]
    for work in here.gateway._background:
        await work.start()
    async with asyncio.timeout(10):
        for call in calls:
            assert (await call.read()).status.state == JOB_STATE_QUEUED
            call.cancel()
