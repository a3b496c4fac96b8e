"""Rounds of faults on a real installation: jobs run, something is hurt at a seeded moment, and all must end well.

The seed says which faults strike, when and where; what the machine makes of it is its own. A round is played again
with its seed and its number.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import signal
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from chaos.proxy import Mood
from chaos.site import WORKERS, Site
from triton_server import BICUBIC

from framewire.errors import ErrorCode, FramewireError
from framewire.jobs.states import ends_job
from framewire.storage.keys import segments_prefix
from framewire.v1.asset_pb2 import Asset
from framewire.v1.job_pb2 import JOB_STATE_FAILED, JOB_STATE_RUNNING, JOB_STATE_SUCCEEDED, Event, Job
from framewire.v1.step_pb2 import Enhance, Step

JOBS = 3
STRIKES = 3
"""Faults in a round."""
ENDS_WITHIN = 90.0
INVARIANTS = ("not lost", "one end", "one result", "numbers", "nothing left")


@dataclass
class Strike:
    """One fault, and how long it was felt."""

    fault: str
    time: float
    affected: list[str] = field(default_factory=list)
    """Jobs that ran when it struck."""
    recovery: float = 0.0
    """Seconds until each of them had shown progress again, or had ended."""


@dataclass
class Round:
    """What a round came to."""

    number: int
    jobs: int = JOBS
    strikes: list[Strike] = field(default_factory=list)
    violations: list[tuple[str, str]] = field(default_factory=list)
    orphans: int = 0
    """Results in the object store that do not count: of attempts that died between storing and saying so."""
    failed: int = 0
    """Jobs that used up their attempts: hit once too often, and said so."""


@dataclass
class Watched:
    """A job as its client saw it."""

    job: Job
    events: list[Event] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    error: str = ""

    def runs_at(self, moment: float) -> bool:
        seen = [event for event, at in zip(self.events, self.times, strict=True) if at <= moment]
        return any(event.status.state == JOB_STATE_RUNNING for event in seen) and not ends_job(seen[-1])

    def shows_life_after(self, moment: float) -> float | None:
        """When it next showed progress, or ended."""
        for event, at in zip(self.events, self.times, strict=True):
            if at > moment and (event.HasField("progress") or ends_job(event)):
                return at
        return None


class Drill:
    """Plays rounds on a site."""

    def __init__(self, site: Site, seed: int) -> None:
        self._site = site
        self._seed = seed
        self._scripts: list[Asset] = []
        self._restarting: dict[str, asyncio.Lock] = {}
        self._faults: dict[str, Callable[[random.Random], Awaitable[None]]] = {
            "kill coordinator": self._kill_worker,
            "kill runner": self._kill_runner,
            "kill gateway": lambda _: self._restart("gateway"),
            "kill nats": lambda _: self._restart("nats"),
            "kill triton": lambda _: self._restart("triton"),
            "kill s3": lambda _: self._restart("s3"),
            "pause coordinator": self._pause_worker,
            "drop nats connections": self._drop_nats,
            "slow s3": lambda rng: self._bad_way(Mood.SLOW, rng),
            "failing s3": lambda rng: self._bad_way(Mood.GONE, rng),
            "full disk at s3": lambda rng: self._bad_way(Mood.FULL, rng),
        }

    @property
    def faults(self) -> list[str]:
        return list(self._faults)

    async def prepare(self) -> None:
        """Upload what the jobs are made of: a little work, a little more, a segment after each, and a result."""
        for seconds in (0.6, 1.2, 1.8):
            work = [action for index in range(2) for action in (["work", seconds / 2], ["segment", index])]
            script = [["probe"], *work, ["write", f"worked {seconds} s"], ["done"]]
            path = self._site.folder / f"script-{seconds}.json"
            path.write_text(json.dumps(script))
            self._scripts.append(await self._site.client.upload(path))

    async def play(self, number: int) -> Round:
        """One round: jobs, faults among them, the end of all jobs, and the check."""
        rng = random.Random(f"{self._seed}/{number}")
        result = Round(number)
        order = [rng.choice(self.faults) for _ in range(STRIKES)]
        jobs = [await self._create(f"{self._seed}/{number}/{index}", rng) for index in range(JOBS)]
        watched = [Watched(job) for job in jobs]
        watching = [asyncio.create_task(self._watch(each)) for each in watched]
        repairs = []
        for fault in order:
            await asyncio.sleep(rng.uniform(0.1, 0.9))  # the moment of the fault is what the seed decides
            strike = Strike(fault, time.monotonic())
            strike.affected = [each.job.job_id for each in watched if each.runs_at(strike.time)]
            result.strikes.append(strike)
            repairs.append(asyncio.create_task(self._faults[fault](rng)))
        await asyncio.gather(*repairs)
        await asyncio.wait(watching, timeout=ENDS_WITHIN)
        for task in watching:
            task.cancel()
        await asyncio.gather(*watching, return_exceptions=True)
        await self._judge(result, watched)
        return result

    async def _create(self, key: str, rng: random.Random) -> Job:
        """A job that was acknowledged: asked for with one key until there is an answer."""
        asset = rng.choice(self._scripts)
        async with asyncio.timeout(ENDS_WITHIN):
            while True:
                try:
                    return await self._site.client.create_job(
                        [asset.asset_id], [Step(enhance=Enhance(model=BICUBIC))], idempotency_key=key
                    )
                except FramewireError as error:
                    if not error.retryable and error.code != ErrorCode.MODEL_UNKNOWN:
                        raise
                await asyncio.sleep(0.1)

    async def _watch(self, watched: Watched) -> None:
        try:
            async for event in self._site.client.watch(watched.job.job_id):
                watched.events.append(event)
                watched.times.append(time.monotonic())
                if ends_job(event):
                    return
        except FramewireError as error:
            watched.error = f"{error.code}: {error.message}"

    # What strikes. Each returns when what it hurt has been put right, as a supervisor or time would.

    async def _restart(self, name: str) -> None:
        server = self._site.servers[name]
        async with self._restarting.setdefault(name, asyncio.Lock()):
            await asyncio.to_thread(server.kill)
            if name in WORKERS:
                server.log.rename(server.log.with_suffix(f".{time.monotonic_ns()}.log"))
            await server.start()

    async def _kill_worker(self, rng: random.Random) -> None:
        await self._restart(rng.choice(WORKERS))

    async def _kill_runner(self, rng: random.Random) -> None:
        runners = [pid for worker in WORKERS for pid in self._site.runners(worker)]
        if runners:
            with contextlib.suppress(ProcessLookupError):
                os.kill(rng.choice(runners), signal.SIGKILL)

    async def _pause_worker(self, rng: random.Random) -> None:
        """Long enough for its jobs to be handed to somebody else; then it comes back and knows nothing of it."""
        process = self._site.servers[rng.choice(WORKERS)].process
        assert process is not None
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGSTOP)
            await asyncio.sleep(rng.uniform(0.5, 6.0))
            os.kill(process.pid, signal.SIGCONT)

    async def _drop_nats(self, rng: random.Random) -> None:
        self._site.nats.set(Mood.GONE)
        await asyncio.sleep(rng.uniform(0.0, 1.0))
        self._site.nats.set(Mood.GOOD)

    async def _bad_way(self, mood: Mood, rng: random.Random) -> None:
        self._site.s3.set(mood)
        await asyncio.sleep(rng.uniform(0.2, 1.5))
        self._site.s3.set(Mood.GOOD)

    # What must hold.

    async def _judge(self, result: Round, watched: list[Watched]) -> None:
        for strike in result.strikes:
            strike.recovery = max((_recovery(each, strike) for each in watched), default=0.0)
        for each in watched:
            for invariant, wrong in await self._wrong(each):
                result.violations.append((invariant, f"{each.job.job_id}: {wrong}"))
            result.orphans += await self._orphans(each)
            result.failed += _failed(each)
        if left := await self._left([each.job for each in watched if not _failed(each)]):
            result.violations.append(("nothing left", ", ".join(left)))

    async def _wrong(self, watched: Watched) -> list[tuple[str, str]]:
        job_id = watched.job.job_id
        if not watched.events or not ends_job(watched.events[-1]):
            return [("not lost", f"has not ended within {ENDS_WITHIN:g} s; {watched.error}")]
        wrong = []
        log = [event async for event in self._site.bus.events.read(job_id)]
        numbers = [event.number for event in watched.events]
        if numbers != [event.number for event in log]:
            wrong.append(("numbers", f"its watcher saw {numbers}, the log has {[event.number for event in log]}"))
        if sum(map(ends_job, log)) != 1:
            wrong.append(("one end", f"{sum(map(ends_job, log))} ends"))
        end = log[-1].status
        if end.state == JOB_STATE_FAILED and end.error.code != ErrorCode.ATTEMPTS_EXHAUSTED:
            wrong.append(("not lost", f"failed with {end.error.code}: {end.error.message}"))
        row = await self._site.client.get_recorded(job_id, log[-1].number)
        if row.state != end.state:
            wrong.append(("one end", f"the database says {row.state}, the log {end.state}"))
        if problem := await self._wrong_result(row, log[-1]):
            wrong.append(("one result", problem))
        return wrong

    async def _wrong_result(self, row: Job, end: Event) -> str:
        if end.status.state != JOB_STATE_SUCCEEDED:
            return f"a result of a job that failed: {row.output_asset_ids}" if row.output_asset_ids else ""
        if len(row.output_asset_ids) != 1:
            return f"{len(row.output_asset_ids)} results"
        path = self._site.folder / "downloaded"
        try:  # the client compares size and hash with what the end said
            await self._site.client.download(row.output_asset_ids[0], path)
        except FramewireError as error:
            return f"its result cannot be had: {error.message}"
        return ""

    async def _orphans(self, watched: Watched) -> int:
        prefix = f"{watched.job.workspace_id}/results/{watched.job.job_id}/"
        stored = [info.key async for info in self._site.store.list(prefix)]
        counts = sum(len(event.status.outputs) for event in watched.events)
        return len(stored) - counts

    async def _left(self, over: list[Job]) -> list[str]:
        """What still lies around once every job has ended, given a moment to be cleared away.

        Of the jobs that are `over` no segment either; those that failed keep theirs for a retry.
        """
        patience = time.monotonic() + 10
        while True:
            left = await self._site.leftovers()
            for job in over:
                left += [
                    info.key async for info in self._site.store.list(segments_prefix(job.workspace_id, job.job_id))
                ]
            if not left or time.monotonic() > patience:
                return left
            await asyncio.sleep(0.1)


def _failed(watched: Watched) -> bool:
    return bool(watched.events) and watched.events[-1].status.state == JOB_STATE_FAILED


def _recovery(watched: Watched, strike: Strike) -> float:
    if watched.job.job_id not in strike.affected:
        return 0.0
    life = watched.shows_life_after(strike.time)
    return (life - strike.time) if life is not None else ENDS_WITHIN
