"""One reader of the log a job, however many watch it.

    log --reader--> Channel: the newest events, each encoded once a wire --> watcher, watcher, ...
                                                                             a slow one reads what it missed by itself

A watcher has no queue of its own: it has a place in the channel. One that falls behind what the channel keeps goes on
from the log until it is back. So a slow watcher costs what one event costs, and slows nobody. One that keeps up, on a
wire that takes bytes without waiting, is handed each event by the reader itself: no task wakes for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import copy
import logging
from bisect import bisect_right
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from typing import Self

from framewire.errors import ErrorCode, FramewireError, Unavailable
from framewire.lifecycle import end
from framewire.v1.job_pb2 import Event
from gateway.shared import Offer, Shared

KEPT = 256
"""Events a channel keeps at least."""

log = logging.getLogger(__name__)

Read = Callable[[int], AsyncIterator[Event]]
"""Events with numbers above this one, past and to come."""


class Fanout:
    """The channels of the jobs that are watched. A channel lives as long as somebody watches."""

    def __init__(self, stopping: asyncio.Event) -> None:
        self._stopping = stopping
        self._channels: dict[str, Channel] = {}

    def follow(self, job_id: str, read: Read, *, after: int) -> Following:
        """What `read` gives of a job, from its channel where it is there. Nothing happens before it is read.

        It raises Unavailable (SERVER_STOPPING) when the gateway stops, and what `read` raises.
        """
        return Following(self, job_id, read, after)

    def enter(self, job_id: str, read: Read, after: int) -> Channel:
        """The job's channel, with one watcher more."""
        channel = self._channels.get(job_id)
        if channel is None or channel.over:
            channel = self._channels[job_id] = Channel(read, after, self._stopping)
        channel.watchers += 1
        return channel

    async def leave(self, job_id: str, channel: Channel) -> None:
        """One watcher less; the last one takes the channel with it."""
        channel.watchers -= 1
        if not channel.watchers:
            if self._channels.get(job_id) is channel:
                del self._channels[job_id]
            await channel.close()


class Channel:
    """What one reader read of one job: the newest events and where they begin."""

    def __init__(self, read: Read, after: int, stopping: asyncio.Event) -> None:
        self.floor = after
        """Every event above this number that was read is kept."""
        self.over = False
        """Nothing more will come."""
        self.watchers = 0
        self._error: FramewireError | None = None
        self._numbers: list[int] = []
        self._events: list[Shared[Event]] = []
        self._waiting: list[asyncio.Future[None]] = []
        self._takers: dict[asyncio.Future[None], Offer] = {}
        self._stopping = stopping
        self._reader = asyncio.create_task(self._run(read))

    def after(self, number: int) -> list[Shared[Event]]:
        """The events above a number that is not below the floor."""
        if not self._numbers or self._numbers[-1] <= number:
            return []
        return self._events[bisect_right(self._numbers, number) :]

    async def news(self) -> bool:
        """Wait for one more event. False when there will be none. Raises what ended the reader."""
        if self.over:
            if self._error is not None:
                raise copy.copy(self._error)  # each watcher raises one of its own: tracebacks would pile up on it
            return False
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        try:
            await waiter
        except asyncio.CancelledError:
            with contextlib.suppress(ValueError):
                self._waiting.remove(waiter)
            raise
        return True

    async def push(self, take: Offer) -> None:
        """Hand every event that is read from now on to `take`, until it refuses one or there will be none."""
        if self.over:
            return
        refused: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._takers[refused] = take
        try:
            await refused
        finally:
            self._takers.pop(refused, None)

    async def close(self) -> None:
        """Stop reading."""
        await end(self._reader)

    async def _run(self, read: Read) -> None:
        stop = asyncio.create_task(self._stopping.wait())
        reading = asyncio.create_task(self._read(read))
        try:
            await asyncio.wait({stop, reading}, return_when=asyncio.FIRST_COMPLETED)
            if not reading.done():
                self._error = Unavailable("the gateway is stopping; connect again", code=ErrorCode.SERVER_STOPPING)
        finally:
            await end(stop)
            await end(reading)
            self.over = True
            self._wake()
            for refused in list(self._takers):
                self._release(refused)

    async def _read(self, read: Read) -> None:
        source = read(self.floor)
        try:
            async for event in source:
                self._publish(event)
        except FramewireError as error:
            self._error = error
        except Exception:
            log.exception("the reader of a job's events failed")
            self._error = FramewireError("internal error; the gateway's log has more")
        finally:
            if close := getattr(source, "aclose", None):
                await close()

    def _publish(self, event: Event) -> None:
        self._numbers.append(event.number)
        self._events.append(message := Shared(event))
        if len(self._numbers) >= 2 * KEPT:  # in steps: a list is cheaper than a ring where everybody is at its end
            self.floor = self._numbers[KEPT - 1]
            del self._numbers[:KEPT], self._events[:KEPT]
        for refused, take in list(self._takers.items()):
            if not _taken(take, message):
                self._release(refused)
        self._wake()

    def _release(self, refused: asyncio.Future[None]) -> None:
        """At once: a taker that has refused an event must not be handed the next."""
        self._takers.pop(refused, None)
        if not refused.done():
            refused.set_result(None)

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, []
        for waiter in waiting:
            if not waiter.done():
                waiter.set_result(None)


class Following:
    """One watcher's place in the events of a job. One task reads it."""

    __slots__ = ("_after", "_channel", "_fanout", "_job_id", "_missed", "_news", "_offer", "_over", "_read")

    def __init__(self, fanout: Fanout, job_id: str, read: Read, after: int) -> None:
        self._fanout = fanout
        self._job_id = job_id
        self._read = read
        self._after = after
        self._channel: Channel | None = None
        self._missed: AsyncGenerator[Shared[Event], None] | None = None
        self._news: Iterator[Shared[Event]] = iter(())
        self._offer: Offer | None = None
        self._over = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Shared[Event]:
        """The next event, past or to come."""
        try:
            event = None if self._over else await self._next()
        except BaseException:
            await self.aclose()
            raise
        if event is None:
            await self.aclose()
            raise StopAsyncIteration
        self._after = event.message.number
        return event

    async def aclose(self) -> None:
        """Give the place back. Idempotent."""
        self._over = True
        missed, self._missed = self._missed, None
        channel, self._channel = self._channel, None
        try:
            if missed is not None:
                await missed.aclose()
        finally:
            if channel is not None:
                await self._fanout.leave(self._job_id, channel)

    async def pushed(self, offer: Offer) -> None:
        """As gateway/shared.py has it."""
        channel = self._channel
        if channel is None or self._missed is not None or self._after < channel.floor or channel.after(self._after):
            return
        self._offer = offer
        await channel.push(self._take)

    def _take(self, event: Shared[Event]) -> bool:
        taken = self._offer is not None and self._offer(event)
        if taken:
            self._after = event.message.number
        return taken

    async def _next(self) -> Shared[Event] | None:
        if self._channel is None:
            self._channel = self._fanout.enter(self._job_id, self._read, self._after)
        channel = self._channel
        while True:
            if self._missed is not None:
                if (event := await anext(self._missed, None)) is not None:
                    return event
                self._missed = None
                if self._after < channel.floor:
                    return None  # the log itself came to the end of the job
            if (event := next(self._news, None)) is not None:
                return event
            if self._after < channel.floor:
                self._missed = _catch_up(channel, self._read, self._after)
            elif news := channel.after(self._after):
                self._news = iter(news)
            elif not await channel.news():
                return None


def _taken(take: Offer, event: Shared[Event]) -> bool:
    """What goes wrong for one watcher is raised when it reads, not here, where all others would miss the event."""
    try:
        return take(event)
    except Exception:
        log.debug("an event could not be handed over", exc_info=True)
        return False


async def _catch_up(channel: Channel, read: Read, after: int) -> AsyncGenerator[Shared[Event], None]:
    """From the log, until the channel has what comes next."""
    source = read(after)
    try:
        async for event in source:
            yield Shared(event)
            if event.number >= channel.floor:
                return
    finally:
        if close := getattr(source, "aclose", None):
            await close()
