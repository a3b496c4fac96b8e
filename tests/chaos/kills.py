"""`python -m chaos.kills --points N --seed N`: kill -9 at seeded moments of a real job, and compare what comes out.

A worker process or its runner is killed while it works on a clip of ten seconds, or the worker is told to stop; another
finishes the job. Every frame
of the result, its time stamp and every sound packet must be those of an undisturbed run, and little may be done twice.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import hashlib
import os
import random
import secrets
import signal
import statistics
import sys
import tempfile
import time
from asyncio.subprocess import DEVNULL, Process
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # servers, triton_server and this folder

from clips import Clip, Sound, make_clip
from servers import NatsServer, S3Server, start_nats, start_s3
from triton_server import RunningTriton, start_triton
from worker_rig import Rig

from framewire.bus.nats import NatsBus, NatsSettings
from framewire.jobs.segments import fold
from framewire.storage.keys import result_key
from framewire.storage.s3 import S3ObjectStore
from framewire.v1.job_pb2 import JOB_STATE_RUNNING, JOB_STATE_SUCCEEDED, Event
from framewire.work.v1.work_pb2 import JobOrder

CLIP = Clip(width=320, height=180, frames=300, rate=Fraction(30), sounds=(Sound(),))
"""320x180 H.264, ten seconds of 30 frames, AAC."""
WORKERS = ("k1", "k2")
ENDS_WITHIN = 120.0


@dataclass(frozen=True, slots=True)
class Picture:
    """What a file shows and sounds like, exactly."""

    frames: tuple[tuple[Fraction, str], ...]
    """Time stamp and hash of every decoded frame."""
    sound: tuple[tuple[Fraction, str], ...]
    """The same of every packet."""

    @classmethod
    def of(cls, path: Path) -> Picture:
        """Decode the file."""
        with av.open(str(path)) as container:
            video, audio = container.streams.video[0], container.streams.audio[0]
            frames: list[tuple[Fraction, str]] = []
            sound: list[tuple[Fraction, str]] = []
            for packet in container.demux(video, audio):
                if packet.stream is audio:
                    if packet.size:
                        sound.append((packet.pts * packet.time_base, _hash(bytes(packet))))
                    continue
                frames += [(frame.pts * video.time_base, _hash(_planes(frame))) for frame in packet.decode()]
            return cls(tuple(frames), tuple(sound))


def _planes(frame: av.VideoFrame) -> bytes:
    return frame.to_ndarray().tobytes()


def _hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@dataclass
class Point:
    """One kill, and what came of it."""

    number: int
    target: str
    """`worker`, `runner`, or `stop` for a worker that is told to stop."""
    share: float
    """When: the share of the frames that the job's log shows as done, and then a moment longer."""
    delay: float
    """Seconds of that moment."""
    committed: int = 0
    """Segments in the log when it struck."""
    done: int = 0
    """Frames the job had shown to be done."""
    kept: int = 0
    """Frames the next attempt did not have to do again."""
    redone: int = 0
    """Whole segments that were finished and had to be done again."""
    starts: int = 0
    """How often a worker began with the job."""
    attempts: int = 0
    """How many of its attempts that used up."""
    took: float = 0.0
    first_watchable: float | None = None
    """Seconds from the start of the attempt, before its first frame, to the first segment in the log."""
    same: bool = False


@dataclass
class Range:
    """Servers, workers that are started again when they were killed, and a clip."""

    rig: Rig
    variables: dict[str, str]
    clip: Path
    workers: dict[str, Process] = field(default_factory=dict)

    async def start(self, name: str) -> None:
        """A worker process that takes jobs."""
        reading, writing = os.pipe()
        self.workers[name] = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "coordinator",
            env=self.variables | {"FRAMEWIRE_WORKER": name, "FRAMEWIRE_READY_FD": str(writing)},
            pass_fds=(writing,), stderr=DEVNULL, start_new_session=True,
        )  # fmt: skip
        os.close(writing)
        with os.fdopen(reading, "rb") as pipe:
            await asyncio.wait_for(asyncio.to_thread(pipe.read), ENDS_WITHIN)

    async def stop(self) -> None:
        """All workers."""
        for process in self.workers.values():
            if process.returncode is None:
                process.terminate()
        for process in self.workers.values():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), 15)
            if process.returncode is None:
                process.kill()

    async def order(self, *, attempts: int = 5) -> JobOrder:
        """Order the clip twice as large."""
        order = await self.rig.order([], max_attempts=attempts)
        await self.rig.store.put_file(order.inputs[0].object_key, self.clip)
        order.inputs[0].ClearField("size_bytes")
        order.inputs[0].ClearField("sha256")
        await self.rig.bus.jobs.publish(order)
        return order

    async def result(self, order: JobOrder, end: Event) -> Picture:
        """What the job came to."""
        path = self.rig.folder / f"{order.job_id}.mp4"
        await self.rig.store.get_file(result_key("ws", order.job_id, end.attempt, order.output_asset_id), path)
        try:
            return await asyncio.to_thread(Picture.of, path)
        finally:
            path.unlink()

    async def undisturbed(self) -> tuple[Picture, float, list[Event]]:
        """A run nobody disturbs: what it shows, how long it ran, and its log."""
        order = await self.order()
        events = await self.until_end(order)
        return await self.result(order, events[-1]), _ran(events), events

    async def until_end(self, order: JobOrder) -> list[Event]:
        async with asyncio.timeout(ENDS_WITHIN):
            events = [event async for event in self.rig.bus.events.read(order.job_id)]
        assert events[-1].status.state == JOB_STATE_SUCCEEDED, events[-1]
        return events

    async def kill(self, point: Point, expected: Picture) -> Point:
        """One job, one kill."""
        order = await self.order()
        running = await self.rig.until(order, lambda event: event.status.state == JOB_STATE_RUNNING)
        await self.rig.until(order, lambda event: event.progress.frames_done >= point.share * CLIP.frames)
        await asyncio.sleep(point.delay)  # the moment of the kill is what the seed decides
        await self.strike(point.target, running.status.worker)
        begun = time.monotonic()
        if point.target != "runner":
            await self.start(running.status.worker)
        events = await self.until_end(order)
        point.took = time.monotonic() - begun
        _judge(point, events)
        point.same = await self.result(order, events[-1]) == expected
        return point

    async def strike(self, target: str, worker: str) -> None:
        """Kill, or stop."""
        process = self.workers[worker]
        victim = process.pid
        if target == "runner":
            children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
            victim = min(map(int, children), key=_started)  # the spare is younger
        with contextlib.suppress(ProcessLookupError):
            os.kill(victim, signal.SIGTERM if target == "stop" else signal.SIGKILL)
        if target != "runner":
            await asyncio.wait_for(process.wait(), ENDS_WITHIN)


def _judge(point: Point, events: Sequence[Event]) -> None:
    """What the log says of the part before somebody began again."""
    starts = [place for place, event in enumerate(events) if event.status.state == JOB_STATE_RUNNING]
    before = events[: starts[1]] if len(starts) > 1 else events
    committed, whole = fold(before), fold(events)
    point.starts, point.attempts = len(starts), events[-1].attempt
    point.committed = len(committed)
    point.done = max((event.progress.frames_done for event in before), default=0)
    point.kept = sum(each.segment.frames for each in committed)
    again = [each.segment for each in whole[len(committed) :]]
    point.redone = sum(segment.first_frame + segment.frames <= point.done for segment in again)
    point.first_watchable = first_watchable(events)


def _started(pid: int) -> int:
    with contextlib.suppress(OSError):
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
    return sys.maxsize


def _time(event: Event) -> float:
    return float(event.time.ToMicroseconds()) / 1e6


def _ran(events: Sequence[Event]) -> float:
    return _time(events[-1]) - next(_time(event) for event in events if event.status.state == JOB_STATE_RUNNING)


def first_watchable(events: Sequence[Event]) -> float | None:
    """Seconds from the start of the attempt that made it, before its first frame, to the first segment in the log."""
    segment = next((event for event in events if event.HasField("segment")), None)
    if segment is None:
        return None
    starts = (event for event in events if event.status.state == JOB_STATE_RUNNING)
    return _time(segment) - next(_time(event) for event in starts if event.attempt == segment.attempt)


@contextlib.asynccontextmanager
async def shooting_range(
    folder: Path, nats: NatsServer, s3: S3Server, triton: RunningTriton, *, workers: Sequence[str] = WORKERS
) -> AsyncIterator[Range]:
    """Workers on these servers, and a clip."""
    bus = await NatsBus.connect(NatsSettings(url=nats.url))
    store = S3ObjectStore(s3.settings(f"kills-{secrets.token_hex(6)}"))
    await store.ensure_bucket()
    rig = Rig(bus, store, folder)
    place = Range(rig, _variables(rig, nats, s3, triton, store), make_clip(folder / "clip.mp4", CLIP))
    try:
        await asyncio.gather(*map(place.start, workers))
        yield place
    finally:
        await place.stop()
        await store.close()
        await bus.close()


def _variables(rig: Rig, nats: NatsServer, s3: S3Server, triton: RunningTriton, store: S3ObjectStore) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "FRAMEWIRE_NATS_URL": nats.url,
        "FRAMEWIRE_S3_ENDPOINT": s3.endpoint,
        "FRAMEWIRE_S3_BUCKET": store._settings.bucket,
        "FRAMEWIRE_S3_ACCESS_KEY": s3.access_key,
        "FRAMEWIRE_S3_SECRET_KEY": s3.secret_key,
        "FRAMEWIRE_TRITON_URL": triton.url,
        "FRAMEWIRE_TRITON_KEY": triton.key,
        "FRAMEWIRE_SCRATCH": str(rig.settings.scratch),
        "FRAMEWIRE_SLOTS": "1",
    }


async def shoot(place: Range, points: int, seed: int, *, say: bool = False) -> list[Point]:
    """As many kills, one after the other."""
    rng = random.Random(seed)
    expected, seconds, events = await place.undisturbed()
    if say:
        print(f"undisturbed: {seconds:.1f} s, {len(fold(events))} segments", file=sys.stderr)
    shot = []
    for number in range(points):
        point = Point(number, rng.choice(["worker", "runner", "stop"]), rng.uniform(0.0, 0.95), rng.uniform(0.0, 0.4))
        shot.append(await place.kill(point, expected))
        if say:
            print(_line(point), file=sys.stderr, flush=True)
    return shot


_HEAD = "point  killed   when  segments   done  kept  redone  starts  attempts   to end   watchable  frames and sound"


def _line(point: Point) -> str:
    watchable = "-" if point.first_watchable is None else f"{point.first_watchable:.2f} s"
    return (
        f"{point.number:>5}  {point.target:<7}{point.share:>6.0%}{point.committed:>10}{point.done:>7}{point.kept:>6}"
        f"{point.redone:>8}{point.starts:>8}{point.attempts:>10}{point.took:>7.1f} s  {watchable:>10}  "
        f"{'identical' if point.same else 'DIFFERENT'}"
    )


def table(points: Sequence[Point], *, seed: int) -> str:
    """A line a kill, and what all of them came to."""
    lines = [
        "point  killed   when  segments   done  kept  redone  starts  attempts   to end  watchable  frames and sound"
    ]
    lines += map(_line, points)
    hit = [point for point in points if point.starts > 1]
    watchable = [point.first_watchable for point in points if point.first_watchable is not None]
    lines.append(
        f"{len(points)} kills of seed {seed}, {len(hit)} while the job ran: "
        f"{sum(point.same for point in points)} results identical to the undisturbed one's; "
        f"at most {max((point.redone for point in hit), default=0)} finished segments done again"
    )
    if watchable:
        median, most = statistics.median(watchable), max(watchable)
        lines.append(f"watchable {median:.2f} s after the start of the attempt (median), {most:.2f} s at most")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m chaos.kills", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--points", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    points = asyncio.run(_main(options.points, options.seed))
    print(table(points, seed=options.seed))
    return int(not all(point.same and point.redone <= 1 for point in points))


async def _main(points: int, seed: int) -> list[Point]:
    with tempfile.TemporaryDirectory(prefix="framewire-kills-") as name, contextlib.ExitStack() as servers:
        folder = Path(name)
        for each in ("nats", "s3", "triton", "rig"):
            (folder / each).mkdir()
        nats = servers.enter_context(start_nats(folder / "nats"))
        s3 = servers.enter_context(start_s3(folder / "s3"))
        triton = servers.enter_context(start_triton(folder / "triton"))
        async with shooting_range(folder / "rig", nats, s3, triton) as place:
            return await shoot(place, points, seed, say=True)


if __name__ == "__main__":
    sys.exit(main())
