"""What waits in the queue on JetStream: how much, since when, and how much more is held back outside."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from framewire.bus import streams
from framewire.bus.connection import TIMEOUT, Connection, time_of, unavailable_as_typed
from framewire.bus.interface import PRIORITIES
from framewire.errors import ErrorCode, Unavailable
from framewire.jobs.ranking import urgency
from framewire.v1.step_pb2 import Lane


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """One lane's jobs of one priority."""

    lane: Lane.ValueType
    priority: int
    pending: int
    """Jobs that were never handed out."""
    held: int
    """Jobs that were handed out and are not settled: they run, wait for their next attempt, or were lost."""
    first: int
    """Number from which on the first job that waits is to be found."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a worker asks for a job, on what condition, and what it will say of why it has it."""

    waiting: Waiting
    least_pending: int = 0
    """The server shall hand out a job only while at least so many wait here."""
    why: str = "own"


def overflowing(in_turn: Iterable[Waiting], totals: Mapping[Lane.ValueType, int], *, after: int) -> list[Place]:
    """The places in lanes where more than `after` jobs wait in all.

    What waits elsewhere in the lane was counted a moment ago; what waits at the place itself the server
    counts when it hands out the job, so that two workers that saw the same backlog do not both take from it.
    """
    return [
        Place(
            waiting=each,
            least_pending=after + 1 - (totals[each.lane] - each.pending),
            why=f"overflow: {totals[each.lane]} waited, more than {after}",
        )
        for each in in_turn
        if totals[each.lane] > after
    ]


class NatsBacklog:
    """Asks the consumers and the board the gateway writes to."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def look(self, lanes: Iterable[Lane.ValueType]) -> list[Waiting]:
        """What waits, for each lane and priority."""
        asked = [self._look(lane, priority) for lane in lanes for priority in PRIORITIES]
        return list(await asyncio.gather(*asked))

    async def in_turn(self, waiting: Sequence[Waiting], *, ageing: float) -> list[Waiting]:
        """Those in which there may be a job, the one whose first job is the most urgent first."""
        filled = [each for each in waiting if each.pending or each.held]
        if len(filled) < 2:
            return filled
        since = await asyncio.gather(*(self._since(each) for each in filled))
        # any common moment will do, and the servers' clock is the only one all jobs share
        now = max(since)
        ages = zip(filled, since, strict=True)
        ranked = sorted(
            ages, key=lambda pair: urgency(pair[0].priority, (now - pair[1]).total_seconds(), ageing=ageing)
        )
        return [each for each, _ in ranked]

    async def held_back(self, lane: Lane.ValueType) -> int:
        """How many more wait outside the queue."""
        subject = streams.board_subject(streams.BACKLOG, streams.LANES[lane])
        message = await self._connection.direct_get(streams.board_stream(streams.BACKLOG), {"last_by_subj": subject})
        return 0 if message is None else int(message.data)

    async def announce_held_back(self, lane: Lane.ValueType, count: int) -> None:
        """Say how many more wait outside the queue."""
        subject = streams.board_subject(streams.BACKLOG, streams.LANES[lane])
        with unavailable_as_typed():
            await self._connection.js.publish(subject, str(count).encode())

    async def _look(self, lane: Lane.ValueType, priority: int) -> Waiting:
        info = await self._info(streams.consumer_name(lane, priority))
        last = info["delivered"] if info["num_pending"] else info["ack_floor"]
        return Waiting(
            lane=lane,
            priority=priority,
            pending=info["num_pending"],
            held=info["num_ack_pending"],
            first=last["stream_seq"] + 1,
        )

    async def _info(self, consumer: str) -> dict[str, Any]:
        subject = f"$JS.API.CONSUMER.INFO.{streams.JOBS}.{consumer}"
        with unavailable_as_typed():
            answer = await self._connection.client.request(subject, timeout=TIMEOUT)
        info: dict[str, Any] = json.loads(answer.data)
        if error := info.get("error"):
            raise Unavailable(f"NATS answered {error.get('description')}", code=ErrorCode.BUS_UNAVAILABLE)
        return info

    async def _since(self, waiting: Waiting) -> datetime:
        """When the first job came. One that is gone meanwhile leaves its turn to others."""
        request = {"seq": waiting.first, "next_by_subj": streams.priority_subject(waiting.lane, waiting.priority)}
        message = await self._connection.direct_get(streams.JOBS, request)
        return datetime.now(UTC) if message is None else time_of(message)
