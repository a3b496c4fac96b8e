"""One reader of the log a job, however many watch it.

    log --reader--> Channel: the newest events, each encoded once a wire --> watcher, watcher, ...
                                                                             a slow one reads what it missed by itself

A watcher has no queue of its own: it has a place in the channel. One that falls behind what the channel keeps goes on
from the log until it is back. So a slow watcher costs what one event costs, and slows nobody.
"""

from __future__ import annotations

import asyncio
import contextlib
import copy
import logging
from bisect import bisect_right
from collections.abc import AsyncGenerator, AsyncIterator, Callable

from framewire.errors import ErrorCode, FramewireError, Unavailable
from framewire.lifecycle import end
from framewire.v1.job_pb2 import Event
from gateway.shared import Shared

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

    async def follow(self, job_id: str, read: Read, *, after: int) -> AsyncGenerator[Shared[Event], None]:
        """What `read` gives of a job, from its channel where it is there.

        Raises Unavailable (SERVER_STOPPING) when the gateway stops, and what `read` raises.
        """
        channel = self._channels.get(job_id)
        if channel is None or channel.over:
            channel = self._channels[job_id] = Channel(read, after, self._stopping)
        channel.watchers += 1
        try:
            async for event in _follow(channel, read, after):
                yield event
        finally:
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
        self._events.append(Shared(event))
        if len(self._numbers) >= 2 * KEPT:  # in steps: a list is cheaper than a ring where everybody is at its end
            self.floor = self._numbers[KEPT - 1]
            del self._numbers[:KEPT], self._events[:KEPT]
        self._wake()

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, []
        for waiter in waiting:
            if not waiter.done():
                waiter.set_result(None)


async def _follow(channel: Channel, read: Read, after: int) -> AsyncGenerator[Shared[Event], None]:
    while True:
        if after < channel.floor:
            async with contextlib.aclosing(_catch_up(channel, read, after)) as missed:
                async for event in missed:
                    after = event.message.number
                    yield event
            if after < channel.floor:
                return  # the log itself came to the end of the job
        news = channel.after(after)
        for event in news:
            after = event.message.number
            yield event
        if not news and not await channel.news():
            return


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
