"""One gateway process beside bare servers that do nothing else: fan-out, GetJob, memory of watchers.

    python scripts/bench_gateway.py [--watchers 1000] [--rate 10] [--seconds 5] [--rounds 3] [--json]

Every server runs in a process of its own, the clients in another. Servers are measured in turn, A-B-A-B, and medians
are shown: wall time is noisy on a machine that is shared, and processor seconds of the server are what counts.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import grpc
import psutil
import uvloop
from bench_gateway_server import publish
from google.protobuf import json_format
from rich.console import Console
from rich.table import Table

from framewire.bus.nats import NatsBus, NatsSettings
from framewire.v1.job_pb2 import Event, GetJobRequest, WatchJobRequest

SERVER = Path(__file__).with_name("bench_gateway_server.py")
SSE = {"Accept": "text/event-stream"}
READY_WITHIN = 60.0
SAMPLED = 50  # one watcher in so many notes how long events took
ROWS = (
    ("fan-out grpc", "messages per CPU second", ">= 0.8"),
    ("fan-out sse", "messages per CPU second", ">= 0.8"),
    ("fan-out grpc", "p99 ms", "<= 50 ms"),
    ("fan-out sse", "p99 ms", "<= 50 ms"),
    ("fan-out grpc", "lost", "0"),
    ("fan-out sse", "lost", "0"),
    ("GetJob", "calls per CPU second", ">= 0.5"),
    ("idle grpc", "KiB per watcher", "<= 30"),
    ("idle sse", "KiB per watcher", "<= 30"),
)


class Served:
    """A server in a process of its own."""

    def __init__(self, kind: str, jobs: int) -> None:
        argv = [sys.executable, str(SERVER), kind, str(jobs)]
        self._process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._usage = psutil.Process(self._process.pid)
        facts = json.loads(self._line())
        self.grpc, self.rest, self.jobs, self.nats = (facts[name] for name in ("grpc", "rest", "jobs", "nats"))

    async def publish(self, rate: float, seconds: float) -> int:
        """Publish to every job; how many events each of them got."""
        if not self.nats:
            self._say(f"publish {rate} {seconds}")
            return int(await asyncio.to_thread(self._line))
        async with connected(self.nats) as bus:
            last = {job: await newest(bus, job) for job in self.jobs}

            async def append(job: str, event: Event) -> None:
                last[job] = await bus.events.append(event, after=last[job])

            return await publish(self.jobs, append, rate, seconds)

    async def places(self) -> dict[str, int]:
        """Of each job the number after which a watcher sees one event of the past, and so knows that it watches."""
        if not self.nats:
            return dict.fromkeys(self.jobs, 0)
        async with connected(self.nats) as bus:
            return {job: await newest(bus, job) - 1 for job in self.jobs}

    def cpu(self) -> float:
        times = self._usage.cpu_times()
        return float(times.user + times.system)

    def rss(self) -> int:
        return int(self._usage.memory_info().rss)

    def stop(self) -> None:
        with contextlib.suppress(BrokenPipeError):
            self._say("stop")
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()

    def _say(self, line: str) -> None:
        if self._process.stdin is not None:
            self._process.stdin.write(line + "\n")
            self._process.stdin.flush()

    def _line(self) -> str:
        line = self._process.stdout.readline() if self._process.stdout is not None else ""
        if not line:
            raise SystemExit("a server ended; its error is above")
        return line


@dataclass(frozen=True)
class Watcher:
    """One of many."""

    server: Served
    job: str
    after: int
    number: int
    seen: list[int]
    ready: asyncio.Semaphore
    delays: list[float]

    def note(self, data: bytes, parse: Callable[[bytes], Event]) -> None:
        """One more event has come; the first is of the past."""
        self.seen[self.number] += 1
        if self.seen[self.number] == 0:
            self.ready.release()
        elif self.number % SAMPLED == 0:
            self.delays.append(time.time() - parse(data).time.ToNanoseconds() / 1e9)


@contextlib.asynccontextmanager
async def watching(server: Served, wire: str, count: int, delays: list[float]) -> AsyncIterator[list[int]]:
    """`count` watchers; the list holds how many events each has seen since it watches."""
    seen, ready, places = [-1] * count, asyncio.Semaphore(0), await server.places()
    async with contextlib.AsyncExitStack() as stack:
        http = await stack.enter_async_context(aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)))
        channels = [await stack.enter_async_context(grpc.aio.insecure_channel(server.grpc)) for _ in range(10)]

        def begin(number: int) -> asyncio.Task[None]:
            job = server.jobs[number % len(server.jobs)]
            watcher = Watcher(server, job, places[job], number, seen, ready, delays)
            channel = channels[number % len(channels)]
            return asyncio.create_task(over_grpc(watcher, channel) if wire == "grpc" else over_sse(watcher, http))

        tasks = [begin(number) for number in range(count)]
        async with asyncio.timeout(READY_WITHIN):
            for _ in tasks:
                await ready.acquire()
        yield seen
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def over_grpc(watcher: Watcher, channel: grpc.aio.Channel) -> None:
    request = WatchJobRequest(job_id=watcher.job, after_event=watcher.after).SerializeToString()
    async for data in channel.unary_stream("/framewire.v1.JobService/WatchJob")(request):
        watcher.note(data, Event.FromString)


async def over_sse(watcher: Watcher, http: aiohttp.ClientSession) -> None:
    address = f"http://{watcher.server.rest}/v1/jobs/{watcher.job}:watch?after_event={watcher.after}"
    async with http.get(address, headers=SSE) as answer:
        async for line in answer.content:
            if line.startswith(b"data: "):
                watcher.note(line, lambda text: json_format.Parse(text[6:], Event()))


@contextlib.asynccontextmanager
async def connected(nats: str) -> AsyncIterator[NatsBus]:
    bus = await NatsBus.connect(NatsSettings(url=nats))
    try:
        yield bus
    finally:
        await bus.close()


async def newest(bus: NatsBus, job: str) -> int:
    event = await bus.events.last(job)
    return event.number if event else 0


async def fan_out(server: Served, wire: str, arguments: argparse.Namespace) -> dict[str, float]:
    """Messages a CPU second of the server, and the 99th percentile from publishing to arrival, in milliseconds."""
    delays: list[float] = []
    async with watching(server, wire, arguments.watchers, delays) as seen:
        before = server.cpu()
        expected = await server.publish(arguments.rate, arguments.seconds) * arguments.watchers
        deadline = time.monotonic() + 30
        while sum(seen) < expected and time.monotonic() < deadline:  # noqa: ASYNC110 - a benchmark may look
            await asyncio.sleep(0.05)
        cpu, told = server.cpu() - before, sum(seen)
    p99 = statistics.quantiles(delays, n=100)[98] * 1000 if len(delays) > 1 else float("nan")
    return {"messages per CPU second": told / cpu, "p99 ms": p99, "lost": expected - told}


async def idle(server: Served, wire: str, arguments: argparse.Namespace) -> dict[str, float]:
    """Resident bytes a watcher that waits."""
    before = server.rss()
    async with watching(server, wire, arguments.watchers, []):
        return {"KiB per watcher": (server.rss() - before) / arguments.watchers / 1024}


async def unary(server: Served, arguments: argparse.Namespace) -> dict[str, float]:
    """GetJob calls a CPU second of the server."""
    request = GetJobRequest(job_id=server.jobs[0]).SerializeToString()
    async with grpc.aio.insecure_channel(server.grpc) as channel:
        call = channel.unary_unary("/framewire.v1.JobService/GetJob")

        async def ask(times: int) -> None:
            for _ in range(times):
                await call(request)

        await ask(50)
        before = server.cpu()
        await asyncio.gather(*(ask(arguments.calls // 16) for _ in range(16)))
        return {"calls per CPU second": arguments.calls // 16 * 16 / (server.cpu() - before)}


async def measure(arguments: argparse.Namespace) -> dict[str, dict[str, float]]:
    found: dict[str, list[dict[str, float]]] = {}
    for _ in range(arguments.rounds):
        for kind in ("gateway", "bare"):
            server = Served(kind, arguments.jobs)
            try:
                found.setdefault(f"{kind} GetJob", []).append(await unary(server, arguments))
                for wire in ("grpc", "sse"):
                    found.setdefault(f"{kind} idle {wire}", []).append(await idle(server, wire, arguments))
                    found.setdefault(f"{kind} fan-out {wire}", []).append(await fan_out(server, wire, arguments))
            finally:
                server.stop()
    return {name: medians(rounds) for name, rounds in found.items()}


def medians(rounds: Sequence[dict[str, float]]) -> dict[str, float]:
    return {name: statistics.median(each[name] for each in rounds) for name in rounds[0]}


def show(found: dict[str, dict[str, float]]) -> None:
    table = Table("measured", "gateway", "bare", "ratio", "goal")
    for name, unit, goal in ROWS:
        ours, bare = found[f"gateway {name}"][unit], found[f"bare {name}"][unit]
        table.add_row(f"{name}: {unit}", f"{ours:,.1f}", f"{bare:,.1f}", f"{ours / bare:.2f}" if bare else "", goal)
    Console(width=100).print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--watchers", type=int, default=1000)
    parser.add_argument("--jobs", type=int, default=10, help="jobs the watchers are spread over")
    parser.add_argument("--rate", type=float, default=10.0, help="events a second of each job")
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--calls", type=int, default=3200)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    found = uvloop.run(measure(arguments))
    if arguments.json:
        print(json.dumps(found, indent=2))
    else:
        show(found)


if __name__ == "__main__":
    main()
