"""A watcher: the real reading of the log, on a live subscription that loses events and a connection that breaks."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncGenerator
from types import SimpleNamespace
from typing import Any

import nats.errors
from chaos.simulator.wire import Wire

from framewire.bus.events import NatsEventLog
from framewire.errors import Unavailable
from framewire.testing.bus import MemoryEventLog
from framewire.v1.job_pb2 import Event


class Live:
    """A core subscription: messages that come while nobody listens, or that are dropped, are gone."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self.waiting: deque[Any] = deque()

    async def next_msg(self, timeout: float) -> Any:
        await self._wire.point("live")
        if not self.waiting:
            raise nats.errors.TimeoutError
        return self.waiting.popleft()

    async def unsubscribe(self) -> None: ...


class Watcher:
    """Watches one job to its end, connecting again after the last number it saw whenever the stream breaks."""

    def __init__(self, job_id: str, log: MemoryEventLog) -> None:
        self.job_id = job_id
        self.wire = Wire()
        self.seen: list[int] = []
        self._log = log
        self._live = Live(self.wire)
        self._reconnected = SimpleNamespace(is_set=lambda: self._lost)
        self._lost = False

    def publish(self, number: int, before: int) -> None:
        """An event of the job was stored and appears on the live subject."""
        self._live.waiting.append(_message(self._log._load(number), before))

    def drop(self) -> None:
        """The subscription was too slow."""
        if self._live.waiting:
            self._live.waiting.popleft()

    def reconnect(self) -> None:
        """The connection was lost and found again: what was under way is gone."""
        self._live.waiting.clear()
        self._lost = True

    async def work(self) -> None:
        """Read until the job has ended."""
        while True:
            try:
                await self._read()
            except Unavailable:
                continue
            return

    async def _read(self) -> None:
        connection: Any = SimpleNamespace(
            client=SimpleNamespace(subscribe=self._subscribe),
            stored=self._stored,
            direct_get=self._direct_get,
            reconnected=self._reconnected,
        )
        after = self.seen[-1] if self.seen else 0
        async for event in NatsEventLog(connection).read(self.job_id, after=after):
            self.seen.append(event.number)

    async def _subscribe(self, *_: Any, **__: Any) -> Live:
        self._live = Live(self.wire)
        return self._live

    async def _stored(self, stream: str, subject: str, *, after: int = 0) -> AsyncGenerator[Any, None]:
        self._lost = False
        await self.wire.point("history")
        for number in self._log._by_job.get(self.job_id, []):
            if number > after:
                yield _message(self._log._load(number), 0)

    async def _direct_get(self, stream: str, request: dict[str, Any]) -> Any:
        await self.wire.point("newest")
        numbers = self._log._by_job.get(self.job_id)
        return _message(self._log._load(numbers[-1]), 0) if numbers else None


def _message(event: Event, before: int) -> Any:
    headers = {"Nats-Sequence": str(event.number), "Nats-Last-Sequence": str(before)}
    return SimpleNamespace(headers=headers, data=event.SerializeToString(), subject=f"events.{event.job_id}")
