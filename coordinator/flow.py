"""Stages as threads, joined by bounded channels: the whole of a job's flow control.

    flow = Flow()
    pictures = flow.channel("pictures", depth=2)
    flow.stage("decode", lambda: decode(pictures), closes=pictures)
    flow.stage("encode", lambda: encode(pictures))
    flow.run()

A channel that is full makes its producer wait, one that is empty its consumer. The first
stage that fails, or a request to stop, aborts every channel, so every wait in the flow ends at once.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Generic, TypeVar

from framewire.errors import ErrorCode, WorkerError

T = TypeVar("T")
log = logging.getLogger(__name__)

JOIN_SECONDS = 10.0
"""How long stages get to notice that the flow has been aborted."""
STALL_SECONDS = 300.0
"""How long nothing may move through any channel."""


class Aborted(Exception):
    """Another stage failed, or the flow was stopped; raised out of every wait on a channel."""


class EndOfStream(Exception):
    """The channel is closed and everything in it has been taken."""


class Channel(Generic[T]):
    """A queue of at most `depth` items between stages.

    Every wait ends when the other side acts or the flow is aborted (Aborted).
    """

    def __init__(self, name: str, depth: int, *, waited: Callable[[float], None] = lambda _: None) -> None:
        """`waited` is called with the seconds a `put` or a `get` took, in the thread that waited."""
        self.name = name
        self.depth = depth
        self.high_water = 0
        """Most items that ever waited here at once: at `depth`, the consumer is the slower side."""
        self.passed = 0
        """Items handed over so far."""
        self._items: deque[T] = deque()
        self._closed = False
        self._aborted = False
        self._waited = waited
        self._changed = threading.Condition()

    def put(self, item: T) -> None:
        """Hand over one item, waiting for room. Raises Aborted."""
        with self._changed:
            self._wait(lambda: self._aborted or len(self._items) < self.depth)
            self._check()
            self._items.append(item)
            self.passed += 1
            self.high_water = max(self.high_water, len(self._items))
            self._changed.notify_all()

    def offer(self, item: T) -> bool:
        """Hand over one item if there is room right now; whether there was. Raises Aborted."""
        with self._changed:
            self._check()
            room = len(self._items) < self.depth
            if room:
                self._items.append(item)
                self.passed += 1
                self._changed.notify_all()
            return room

    def close(self) -> None:
        """Nothing more will come; what waits can still be taken. Idempotent."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def abort(self) -> None:
        """Wake both sides with Aborted and drop what waits. Idempotent."""
        with self._changed:
            self._aborted = True
            self._items.clear()
            self._changed.notify_all()

    def get(self) -> T:
        """Take one item, waiting for it. Raises Aborted, and EndOfStream when the channel is closed and empty."""
        with self._changed:
            self._wait(lambda: self._aborted or bool(self._items) or self._closed)
            self._check()
            if not self._items:
                raise EndOfStream(self.name)
            item = self._items.popleft()
            self._changed.notify_all()
            return item

    def __iter__(self) -> Iterator[T]:
        """The items in order, waiting for each, until the channel is closed and empty. Raises Aborted."""
        with contextlib.suppress(EndOfStream):
            while True:
                yield self.get()

    def __len__(self) -> int:
        return len(self._items)

    def _wait(self, ready: Callable[[], bool]) -> None:
        if not ready():
            began = time.monotonic()
            self._changed.wait_for(ready)
            self._waited(time.monotonic() - began)

    def _check(self) -> None:
        if self._aborted:
            raise Aborted(self.name)


@dataclass(frozen=True, slots=True, kw_only=True)
class StageUsage:
    """What one stage cost. Threads that a codec starts by itself are not in it."""

    name: str
    cpu_seconds: float
    wall_seconds: float
    waited_seconds: float = 0.0
    """Of `wall_seconds`, spent waiting for another stage, for a free block or for the model: back-pressure."""

    @property
    def occupancy(self) -> float:
        """Share of the time it had something to do; the stage with the largest bounds the speed."""
        return 1.0 - self.waited_seconds / self.wall_seconds if self.wall_seconds > 0 else 0.0


class Flow:
    """A set of stages that succeed or fail together. Used once."""

    def __init__(self) -> None:
        self.usage: list[StageUsage] = []
        self._channels: list[Channel[object]] = []
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._waiting: set[threading.Event] = set()
        self._waits = threading.local()
        self._running = 0
        self._failure: BaseException | None = None
        self._stopped = False

    def channel(self, name: str, *, depth: int) -> Channel[T]:
        """A new channel that is aborted with this flow."""
        channel: Channel[T] = Channel(name, depth, waited=self._add_wait)
        if self._broken():
            channel.abort()
        self._channels.append(channel)  # type: ignore[arg-type]  # aborting does not care for what a channel carries
        return channel

    def stage(self, name: str, work: Callable[[], None], *, closes: Channel[T] | None = None) -> None:
        """Add a stage: `work` runs in a thread of its own, and `closes` is closed when it ends well."""

        def run() -> None:
            self._measured(name, work, closes)

        self._threads.append(threading.Thread(target=run, name=name, daemon=True))

    def wait(self, future: Future[T], *, timeout: float) -> T:
        """The result of something outside the flow; for stages.

        Raises what the future raises, TimeoutError, or Aborted.
        """
        woken = threading.Event()
        with self._lock:
            self._waiting.add(woken)
            if self._broken():
                raise Aborted("wait")
        future.add_done_callback(lambda _: woken.set())
        began = time.monotonic()
        ended = woken.wait(timeout)
        self._add_wait(time.monotonic() - began)
        with self._lock:
            self._waiting.discard(woken)
        if future.done():
            return future.result()
        raise Aborted("wait") if ended else TimeoutError

    def run(self, *, stall: float = STALL_SECONDS) -> None:
        """Run every stage to its end. Raises what the first stage to fail raised, or Aborted after `stop`.

        WorkerError (DEADLINE_EXCEEDED, retryable) when nothing moved for `stall` seconds. Returns or raises only after
        every stage has ended; one that does not notice the abort within a bound is left behind and logged.
        """
        with self._lock:
            self._running = 0 if self._broken() else len(self._threads)
        for thread in self._threads[: self._running]:
            thread.start()
        moved = -1
        while not self._ended(stall):
            moved, before = sum(channel.passed for channel in self._channels), moved
            if moved == before:
                self.fail(_stalled(stall))
        self._join()
        if self._failure is not None:
            raise self._failure
        if self._stopped:
            raise Aborted("stopped")

    def stop(self) -> None:
        """Abort from outside; `run` raises Aborted. Idempotent, may be called from any thread."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
        self._abort()

    def fail(self, error: BaseException) -> None:
        """Abort from outside with an error that `run` will raise, unless a stage failed before."""
        with self._changed:
            self._failure = self._failure or error
            self._changed.notify_all()
        self._abort()

    def check(self) -> None:
        """Raise Aborted when the flow was stopped or has failed; for work outside its stages."""
        if self._broken():
            raise Aborted("stopped")

    def _add_wait(self, seconds: float) -> None:
        self._waits.seconds = getattr(self._waits, "seconds", 0.0) + seconds

    def _broken(self) -> bool:
        return self._stopped or self._failure is not None

    def _ended(self, timeout: float) -> bool:
        with self._changed:
            return self._changed.wait_for(lambda: not self._running or self._broken(), timeout)

    def _abort(self) -> None:
        for channel in self._channels:
            channel.abort()
        with self._lock:
            for woken in self._waiting:
                woken.set()

    def _join(self) -> None:
        deadline = time.monotonic() + JOIN_SECONDS
        for thread in self._threads:
            if thread.ident is None:
                continue  # stopped before it began
            thread.join(max(0.0, deadline - time.monotonic()) if self._broken() else None)
        stuck = [thread.name for thread in self._threads if thread.is_alive()]
        if stuck:
            log.error("left behind, not stopped within %.0f s: %s", JOIN_SECONDS, ", ".join(stuck))

    def _measured(self, name: str, work: Callable[[], None], closes: Channel[T] | None) -> None:
        wall, cpu = time.monotonic(), time.thread_time()
        try:
            work()
            if closes is not None:
                closes.close()
        except Aborted:
            pass  # the stage that failed has its error recorded
        except BaseException as error:  # noqa: BLE001 - whatever it is, `run` raises it
            self.fail(error)
        finally:
            usage = StageUsage(
                name=name,
                cpu_seconds=time.thread_time() - cpu,
                wall_seconds=time.monotonic() - wall,
                waited_seconds=getattr(self._waits, "seconds", 0.0),
            )
            with self._changed:
                self.usage.append(usage)
                self._running -= 1
                self._changed.notify_all()


def _stalled(seconds: float) -> WorkerError:
    return WorkerError(
        f"nothing moved for {seconds:.0f} s; the job was given up", code=ErrorCode.DEADLINE_EXCEEDED, retryable=True
    )
