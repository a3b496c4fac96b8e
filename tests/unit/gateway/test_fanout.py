"""One reader a job, many watchers: each gets everything, in order, at its own pace."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

import pytest

from framewire.errors import ErrorCode, Unavailable
from framewire.v1.job_pb2 import Event
from gateway.fanout import KEPT, Fanout
from gateway.shared import Shared


class Log:
    """A job's log that grows; counts its readers."""

    def __init__(self) -> None:
        self.numbers: list[int] = []
        self.readers = self.open = 0
        self._grown = asyncio.Condition()
        self._over = False

    async def grow(self, count: int) -> None:
        async with self._grown:
            start = self.numbers[-1] + 1 if self.numbers else 1
            self.numbers += range(start, start + count)
            self._grown.notify_all()

    async def end(self) -> None:
        async with self._grown:
            self._over = True
            self._grown.notify_all()

    async def read(self, after: int) -> AsyncGenerator[Event, None]:
        self.readers += 1
        self.open += 1
        try:
            while True:
                for number in [each for each in self.numbers if each > after]:
                    after = number
                    yield Event(number=number)
                async with self._grown:
                    if self._over and self.numbers[-1] <= after:
                        return
                    if self.numbers[-1:] == [after] or not self.numbers:
                        await self._grown.wait()
        finally:
            self.open -= 1


async def take(watch: AsyncGenerator[Shared[Event], None], count: int) -> list[int]:
    async with asyncio.timeout(10):
        return [(await anext(watch)).message.number for _ in range(count)]


async def test_many_watchers_share_one_reader_and_one_encoding():
    log, fanout, encoded = Log(), Fanout(asyncio.Event()), []
    watches = [fanout.follow("job", log.read, after=0) for _ in range(20)]
    await log.grow(3)

    def encode(message: Event) -> bytes:
        encoded.append(message.number)
        return message.SerializeToString()

    for watch in watches:
        async with asyncio.timeout(10):
            for _ in range(3):
                (await anext(watch)).encoded("grpc", encode)
    assert (log.readers, encoded) == (1, [1, 2, 3])
    for watch in watches:
        await watch.aclose()
    assert log.open == 0


async def test_a_slow_watcher_is_bounded_and_slows_nobody():
    log, fanout = Log(), Fanout(asyncio.Event())
    slow = fanout.follow("job", log.read, after=0)
    quick = fanout.follow("job", log.read, after=0)
    await log.grow(1)
    assert await take(slow, 1) == [1]
    many = 10 * KEPT
    for _ in range(many // 64):
        await log.grow(64)
        await take(quick, 64 if log.numbers[-1] != 65 else 65)  # every event at once, whatever the other one does
    (channel,) = fanout._channels.values()
    assert len(channel.after(channel.floor)) < 2 * KEPT
    assert await take(slow, many) == list(range(2, many + 2))  # without holes, from the log
    assert log.readers == 2
    await log.grow(1)
    assert await take(slow, 1) == await take(quick, 1) == [many + 2]
    assert log.open == 1  # it is back
    await slow.aclose()
    await quick.aclose()
    assert log.open == 0


async def test_who_comes_late_gets_the_past_and_who_has_seen_it_only_what_is_new():
    log, fanout = Log(), Fanout(asyncio.Event())
    await log.grow(5)
    first = fanout.follow("job", log.read, after=3)
    assert await take(first, 2) == [4, 5]
    async with aclosing(fanout.follow("job", log.read, after=0)) as late:
        assert await take(late, 5) == [1, 2, 3, 4, 5]
    async with aclosing(fanout.follow("job", log.read, after=5)) as knowing:
        coming = asyncio.ensure_future(take(knowing, 1))
        await log.grow(1)
        assert await coming == [6]
    await first.aclose()


async def test_every_watch_ends_when_the_log_does():
    log, fanout = Log(), Fanout(asyncio.Event())
    await log.grow(2)
    watches = [fanout.follow("job", log.read, after=after) for after in (0, 1)]
    for watch in watches:
        await take(watch, 1)
    await log.end()
    async with asyncio.timeout(10):
        assert [[event.message.number async for event in watch] for watch in watches] == [[2], []]
    assert log.open == 0


async def test_what_ends_the_reader_is_told_to_every_watcher():
    async def read(after: int) -> AsyncGenerator[Event, None]:
        yield Event(number=1)
        raise Unavailable("NATS is away", code=ErrorCode.BUS_UNAVAILABLE)

    fanout = Fanout(asyncio.Event())
    watches = [fanout.follow("job", read, after=0) for _ in range(2)]
    for watch in watches:
        assert await take(watch, 1) == [1]
    caught = []
    for watch in watches:
        with pytest.raises(Unavailable) as raised:
            await anext(watch)
        caught.append(raised.value)
    assert caught[0] is not caught[1]
    assert {error.code for error in caught} == {ErrorCode.BUS_UNAVAILABLE}


async def test_a_gateway_that_stops_ends_every_watch():
    stopping, log = asyncio.Event(), Log()
    watch = Fanout(stopping).follow("job", log.read, after=0)
    await log.grow(1)
    await take(watch, 1)
    stopping.set()
    with pytest.raises(Unavailable) as caught:
        await anext(watch)
    assert caught.value.code == ErrorCode.SERVER_STOPPING
    assert log.open == 0


async def test_a_watcher_may_be_handed_events_and_reads_on_from_the_first_it_refused():
    log, fanout, given = Log(), Fanout(asyncio.Event()), []
    watch, other = (fanout.follow("job", log.read, after=0) for _ in range(2))
    await log.grow(1)
    assert await take(watch, 1) == [1]

    def offer(event: Shared[Event]) -> bool:
        if len(given) == 3:
            return False
        given.append(event.message.number)
        return True

    def broken(event: Shared[Event]) -> bool:
        raise RuntimeError("its connection is gone")

    pushed = asyncio.create_task(watch.pushed(offer))
    assert await take(other, 1) == [1]
    failing = asyncio.create_task(other.pushed(broken))
    await log.grow(6)
    async with asyncio.timeout(10):
        await asyncio.gather(pushed, failing)
    assert given == [2, 3, 4]
    assert await take(watch, 3) == [5, 6, 7]
    assert await take(other, 6) == [2, 3, 4, 5, 6, 7]
    for each in (watch, other):
        await each.aclose()
    assert log.open == 0


async def test_who_is_handed_events_hears_of_the_end():
    stopping, log = asyncio.Event(), Log()
    watch = Fanout(stopping).follow("job", log.read, after=0)
    await log.grow(1)
    await take(watch, 1)
    pushed = asyncio.create_task(watch.pushed(lambda event: True))
    await asyncio.wait({pushed}, timeout=0.01)
    assert not pushed.done()
    stopping.set()
    async with asyncio.timeout(10):
        await pushed
        with pytest.raises(Unavailable):
            await anext(watch)
    assert log.open == 0
