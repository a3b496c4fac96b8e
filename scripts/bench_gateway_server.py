"""A server to measure: `gateway` is the real one on real NATS and SQLite, `bare` does nothing but fan out and answer.

It says where it is in one line of JSON. The bare one is told `publish RATE SECONDS` on stdin, gives every job progress
and prints how many events each got; events for the gateway come over NATS, as those of workers do. All else ends it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc
import uvloop
from aiohttp import web

from framewire.bus.nats import NatsBus, NatsSettings
from framewire.db.assets import AssetStore
from framewire.db.database import Database
from framewire.db.jobs import JobStore
from framewire.jobs.ids import new_asset_id, new_job_id
from framewire.lifecycle import settle_memory
from framewire.testing.storage import MemoryObjectStore
from framewire.v1.job_pb2 import JOB_STATE_RUNNING, Event, Job, Progress, StatusChange, WatchJobRequest
from framewire.v1.step_pb2 import LANE_GPU, Enhance, Step
from framewire.work.v1.work_pb2 import InputFile, JobOrder
from gateway.addresses import Address
from gateway.app import Gateway
from gateway.limits import LimitSettings
from gateway.rest.streaming import ServerSentEvents

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
from servers import start_nats

ANYWHERE = Address("127.0.0.1", 0)
Append = Callable[[str, Event], Awaitable[None]]


def progress(job_id: str, number: int) -> Event:
    """As workers report it."""
    event = Event(number=number, job_id=job_id, workspace_id="default", attempt=1)
    event.progress.CopyFrom(Progress(stage="process", fraction=0.5, frames_done=450, frames_total=900, fps=25.0))
    event.time.GetCurrentTime()
    return event


@contextlib.asynccontextmanager
async def real(jobs: int) -> AsyncIterator[tuple[str, str, list[str], str]]:
    """The gateway with `jobs` jobs that run."""
    with tempfile.TemporaryDirectory() as folder, start_nats(Path(folder)) as nats:
        bus = await NatsBus.connect(NatsSettings(url=nats.url))
        database = Database.open(f"sqlite+aiosqlite:///{folder}/framewire.db")
        gateway = Gateway(
            database=database, bus=bus, store=MemoryObjectStore(), grpc=ANYWHERE, rest=ANYWHERE,
            limits=LimitSettings(calls=0, streams=0, streams_per_address=0),
        )  # fmt: skip
        await gateway.start()
        settle_memory()  # as `python -m gateway` does
        names = [await running_job(database, bus) for _ in range(jobs)]
        yield f"127.0.0.1:{gateway.rpc.port}", f"127.0.0.1:{gateway.rest.port}", names, nats.url
        await gateway.stop()
        await bus.close()
        await database.close()


async def running_job(database: Database, bus: NatsBus) -> str:
    """A job whose row and log say RUNNING."""
    asset_id, job_id = new_asset_id(), new_job_id()
    assets, store = AssetStore(database), JobStore(database)
    await assets.create_upload(
        "default", asset_id=asset_id, filename="a.mp4", size_bytes=1, declared_sha256="", object_key=f"k/{asset_id}"
    )
    await assets.complete_upload("default", asset_id, sha256="ab")
    order = JobOrder(
        job_id=job_id, workspace_id="default", inputs=[InputFile(asset_id=asset_id)], steps=[Step(enhance=Enhance())],
        lane=LANE_GPU, priority=1, output_asset_id=new_asset_id(),
    )  # fmt: skip
    await store.create_job(order)
    async with contextlib.aclosing(bus.events.read(job_id)) as events:  # type: ignore[type-var]  # a generator
        queued = await anext(events)
    event = Event(job_id=job_id, workspace_id="default", attempt=1, status=StatusChange(state=JOB_STATE_RUNNING))
    event.time.GetCurrentTime()
    number = await bus.events.append(event, after=queued.number)
    while (await store.get("default", job_id)).last_event < number:  # noqa: ASYNC110 - nothing signals it
        await asyncio.sleep(0.02)
    return job_id


class Bare:
    """A queue a watcher and nothing else: what grpc.aio and aiohttp cost by themselves."""

    def __init__(self) -> None:
        self._queues: dict[str, list[asyncio.Queue[tuple[bytes, bytes]]]] = {}
        self._job = Job(job_id=new_job_id(), state=JOB_STATE_RUNNING).SerializeToString()

    async def append(self, job_id: str, event: Event) -> None:
        both = event.SerializeToString(), ServerSentEvents().message(event)
        for queue in self._queues.get(job_id, ()):
            queue.put_nowait(both)

    @contextlib.contextmanager
    def queue(self, job_id: str) -> Any:
        queue: asyncio.Queue[tuple[bytes, bytes]] = asyncio.Queue()
        self._queues.setdefault(job_id, []).append(queue)
        try:
            yield queue
        finally:
            self._queues[job_id].remove(queue)

    async def get(self, request: bytes, context: Any) -> bytes:
        return self._job

    async def watch(self, request: bytes, context: Any) -> None:
        job_id = WatchJobRequest.FromString(request).job_id
        with self.queue(job_id) as queue:
            await context.write(progress(job_id, 1).SerializeToString())
            while True:
                await context.write((await queue.get())[0])

    async def events(self, request: web.Request) -> web.StreamResponse:
        job_id = request.match_info["job_id"]
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        with self.queue(job_id) as queue:
            await response.write(b"data: {}\n\n")
            while True:
                await response.write((await queue.get())[1])


@contextlib.asynccontextmanager
async def bare(jobs: int) -> AsyncIterator[tuple[str, str, list[str], Append]]:
    """grpc.aio and aiohttp."""
    service, server = Bare(), grpc.aio.server()
    handlers = {
        "GetJob": grpc.unary_unary_rpc_method_handler(service.get),
        "WatchJob": grpc.unary_stream_rpc_method_handler(service.watch),
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("framewire.v1.JobService", handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    app = web.Application()
    app.router.add_get("/v1/jobs/{job_id:[^/:]+}:watch", service.events)
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield (
        f"127.0.0.1:{port}",
        f"127.0.0.1:{runner.addresses[0][1]}",
        [new_job_id() for _ in range(jobs)],
        service.append,
    )
    await server.stop(0)
    await runner.cleanup()


async def publish(names: list[str], append: Append, rate: float, seconds: float) -> int:
    """Events to every job, evenly spaced, and the jobs one after the other: workers do not speak at the same moment."""
    count, clock = round(rate * seconds), asyncio.get_running_loop().time
    begin = clock()
    for number in range(count):
        for place, job_id in enumerate(names):
            await asyncio.sleep(max(0.0, begin + (number + place / len(names)) / rate - clock()))
            await append(job_id, progress(job_id, number + 2))
    return count


async def main(kind: str, jobs: int) -> None:
    if kind == "gateway":
        async with real(jobs) as (rpc, rest, names, nats):
            print(json.dumps({"grpc": rpc, "rest": rest, "jobs": names, "nats": nats}), flush=True)
            await asyncio.to_thread(sys.stdin.readline)
        return
    async with bare(jobs) as (rpc, rest, names, append):
        print(json.dumps({"grpc": rpc, "rest": rest, "jobs": names, "nats": ""}), flush=True)
        while (line := await asyncio.to_thread(sys.stdin.readline)).startswith("publish"):
            _, rate, seconds = line.split()
            print(await publish(names, append, float(rate), float(seconds)), flush=True)


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1], int(sys.argv[2])))
