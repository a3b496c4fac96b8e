"""The queue of jobs in memory."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from framewire.bus.interface import PRIORITIES
from framewire.jobs.ranking import urgency
from framewire.testing.bus.changed import Changed
from framewire.v1.step_pb2 import Lane
from framewire.work.v1.work_pb2 import JobOrder


@dataclass(slots=True, kw_only=True)
class _Queued:
    order: JobOrder
    since: float
    stored: datetime
    visible_from: float = 0.0
    holder: int = 0


class MemoryDelivery:
    """A job held until `ack_wait` after the last sign of life."""

    def __init__(self, queue: MemoryJobQueue, entry: _Queued, placement: str) -> None:
        self._queue = queue
        self._entry = entry
        self._token = entry.holder
        self.placement = placement
        self.stored = entry.stored
        self.order = JobOrder.FromString(entry.order.SerializeToString())

    async def in_progress(self) -> None:
        """Keep it."""
        if self._holds():
            self._entry.visible_from = time.monotonic() + self._queue.ack_wait

    async def ack(self) -> None:
        """Remove it."""
        self._queue.discard(self._entry)

    async def retry(self, delay: float) -> None:
        """Give it back."""
        if self._holds():
            self._entry.visible_from = time.monotonic() + delay
            self._queue.changed.notify()

    def _holds(self) -> bool:
        return self._entry.holder == self._token


class MemoryJobQueue:
    """A list in the order of arrival."""

    def __init__(self, ack_wait: float, ageing: float) -> None:
        self.ack_wait = ack_wait
        self._ageing = ageing
        self.changed = Changed()
        self._held_back: dict[Lane.ValueType, int] = {}
        self._entries: list[_Queued] = []

    async def publish(self, order: JobOrder) -> None:
        """Queue an order unless it is queued or held."""
        if any(_identity(entry.order) == _identity(order) for entry in self._entries):
            return
        kept = JobOrder.FromString(order.SerializeToString())
        self._entries.append(_Queued(order=kept, since=time.monotonic(), stored=datetime.now(UTC)))
        self.changed.notify()

    async def pull(
        self,
        lanes: Sequence[Lane.ValueType],
        *,
        wait: float,
        priorities: Sequence[int] = PRIORITIES,
        overflow_after: int | None = None,
    ) -> MemoryDelivery | None:
        """The most urgent visible job."""
        deadline = time.monotonic() + wait
        while True:
            now = time.monotonic()
            places = {lane: await self._placement(lane, overflow_after) for lane in lanes}
            waiting = [
                entry for entry in self._entries if places.get(entry.order.lane) and entry.order.priority in priorities
            ]
            visible = [entry for entry in waiting if entry.visible_from <= now]
            if visible:
                entry = min(visible, key=lambda each: self._urgency(each, now))
                entry.visible_from = now + self.ack_wait
                entry.holder += 1
                return MemoryDelivery(self, entry, places[entry.order.lane])
            if now >= deadline:
                return None
            soonest = min([entry.visible_from for entry in waiting], default=deadline)
            await self.changed.wait(min(soonest, deadline) - now)

    async def remove(self, order: JobOrder) -> None:
        """Take an order out."""
        for entry in [entry for entry in self._entries if _identity(entry.order) == _identity(order)]:
            self.discard(entry)

    async def announce_held_back(self, lane: Lane.ValueType, count: int) -> None:
        """Remember how many wait outside."""
        self._held_back[lane] = count

    async def waiting(self, lane: Lane.ValueType) -> int:
        """Those never handed out, and those outside."""
        inside = sum(entry.order.lane == lane and entry.holder == 0 for entry in self._entries)
        return inside + self._held_back.get(lane, 0)

    def discard(self, entry: _Queued) -> None:
        """Drop an entry; nothing happens when it is gone already."""
        if entry in self._entries:
            self._entries.remove(entry)

    async def _placement(self, lane: Lane.ValueType, overflow_after: int | None) -> str:
        """Why a job of the lane may be had now; empty when it may not."""
        if overflow_after is None:
            return "own"
        waiting = await self.waiting(lane)
        return f"overflow: {waiting} waited, more than {overflow_after}" if waiting > overflow_after else ""

    def _urgency(self, entry: _Queued, now: float) -> float:
        return urgency(entry.order.priority, now - entry.since, ageing=self._ageing)


def _identity(order: JobOrder) -> tuple[str, int]:
    return order.job_id, order.max_attempts
