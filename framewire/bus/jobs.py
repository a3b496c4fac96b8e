"""The queue of jobs on JetStream."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import time
from collections.abc import Sequence
from datetime import UTC
from typing import Any

import nats.errors
from google.protobuf.message import DecodeError
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.js.errors import APIError

from framewire.bus import streams
from framewire.bus.backlog import NatsBacklog, Place, overflowing
from framewire.bus.connection import TIMEOUT, Connection, status_of, unavailable_as_typed
from framewire.bus.dead import NatsDeadLetters
from framewire.bus.interface import PRIORITIES
from framewire.v1.step_pb2 import Lane
from framewire.work.v1.work_pb2 import JobOrder

log = logging.getLogger(__name__)

_ALREADY_QUEUED = 10077
_LOOK_AGAIN = 0.5
"""Seconds between looks at the queue when nothing hints at a job: a redelivery makes no noise."""
_LOOK_SOON = 0.005
"""Seconds until the next look behind a hint; doubled with each. A hint is heard as soon as the order is published, and
its consumer knows of it only when it is on the disk, so that the first look may come too early.
"""


class NatsDelivery:
    """A JetStream message with its order read."""

    def __init__(self, message: Msg, order: JobOrder, placement: str) -> None:
        self._message = message
        self.order = order
        self.placement = placement
        self.stored = message.metadata.timestamp.astimezone(UTC)

    async def in_progress(self) -> None:
        """Keep it for another ACK_WAIT."""
        with unavailable_as_typed():
            await self._message.in_progress()

    async def ack(self) -> None:
        """Remove it; the server has confirmed when this returns."""
        with unavailable_as_typed(), contextlib.suppress(nats.errors.MsgAlreadyAckdError):
            await self._message.ack_sync(timeout=TIMEOUT)

    async def retry(self, delay: float) -> None:
        """Give it back, to be handed out again after `delay` seconds."""
        with unavailable_as_typed(), contextlib.suppress(nats.errors.MsgAlreadyAckdError):
            await self._message.nak(delay=delay or None)


class NatsJobQueue:
    """A consumer per priority: a pull looks what waits in each, and asks first where the most urgent job waits.

    New orders are heard as ordinary messages on the lane's subject, so that an idle worker does not
    have to keep asking.
    """

    def __init__(self, connection: Connection, dead_letters: NatsDeadLetters, *, ageing: float) -> None:
        self._connection = connection
        self._backlog = NatsBacklog(connection)
        self._ageing = ageing
        self._dead_letters = dead_letters
        self._hint = asyncio.Event()
        self._pause = _LOOK_AGAIN
        self._listening: dict[Lane.ValueType, Subscription] = {}

    async def publish(self, order: JobOrder) -> None:
        """Queue a job; nothing changes while it is queued or held already."""
        subject = streams.job_subject(order)
        with unavailable_as_typed():
            try:
                await self._connection.js.publish(subject, order.SerializeToString(), stream=streams.JOBS)
            except APIError as error:
                if error.err_code != _ALREADY_QUEUED:
                    raise

    async def pull(
        self,
        lanes: Sequence[Lane.ValueType],
        *,
        wait: float,
        priorities: Sequence[int] = PRIORITIES,
        overflow_after: int | None = None,
    ) -> NatsDelivery | None:
        """The most urgent job in `lanes`, waiting up to `wait` seconds for one."""
        await self._listen(lanes)
        deadline = time.monotonic() + wait
        while True:
            self._hint.clear()
            for place in await self._places(lanes, priorities, overflow_after):
                if delivery := await self._next(place):
                    return delivery
            left, pause = deadline - time.monotonic(), self._pause
            if left <= 0:
                return None
            if not await self._hinted(min(left, pause)):
                self._pause = min(2 * pause, _LOOK_AGAIN)
                if left <= pause:
                    return None  # who pulls again at once looks again at once

    async def remove(self, order: JobOrder) -> None:
        """Take an order out of the queue."""
        with unavailable_as_typed():
            await self._connection.js.purge_stream(streams.JOBS, subject=streams.job_subject(order))

    async def announce_held_back(self, lane: Lane.ValueType, count: int) -> None:
        """Say how many more wait outside."""
        await self._backlog.announce_held_back(lane, count)

    async def waiting(self, lane: Lane.ValueType) -> int:
        """How many wait, inside and outside the queue."""
        return sum(each.pending for each in await self._backlog.look([lane])) + await self._backlog.held_back(lane)

    async def close(self) -> None:
        """Stop listening. Idempotent."""
        for subscription in self._listening.values():
            with contextlib.suppress(nats.errors.Error):
                await subscription.unsubscribe()
        self._listening.clear()

    async def _listen(self, lanes: Sequence[Lane.ValueType]) -> None:
        for lane in lanes:
            if lane not in self._listening:
                with unavailable_as_typed():
                    self._listening[lane] = await self._connection.client.subscribe(
                        streams.lane_subject(lane), cb=self._on_hint
                    )

    async def _hinted(self, wait: float) -> bool:
        """Whether an order is published within `wait` seconds."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(wait):
                await self._hint.wait()
        return self._hint.is_set()

    async def _on_hint(self, _: Msg) -> None:
        self._pause = _LOOK_SOON
        self._hint.set()

    async def _places(
        self, lanes: Sequence[Lane.ValueType], priorities: Sequence[int], overflow_after: int | None
    ) -> list[Place]:
        """Where a job may be had now, in the order to ask."""
        waiting = await self._backlog.look(lanes)
        in_turn = await self._backlog.in_turn(
            [each for each in waiting if each.priority in priorities], ageing=self._ageing
        )
        if overflow_after is None:
            return [Place(waiting=each) for each in in_turn]
        totals = {lane: await self._backlog.held_back(lane) for lane in lanes}
        for each in waiting:
            totals[each.lane] += each.pending
        return overflowing(in_turn, totals, after=overflow_after)

    async def _next(self, place: Place) -> NatsDelivery | None:
        consumer = streams.consumer_name(place.waiting.lane, place.waiting.priority)
        with unavailable_as_typed():
            message = await self._connection.client.request(
                f"$JS.API.CONSUMER.MSG.NEXT.{streams.JOBS}.{consumer}",
                json.dumps(_request(place)).encode(),
                timeout=TIMEOUT,
                old_style=True,  # a job arrives under its own subject, which the shared inbox would not recognise
            )
        if status_of(message):
            return None
        if order := _order(message):
            return NatsDelivery(message, order, place.why)
        await self._bury_unreadable(message)
        self._hint.set()  # there may be more behind it
        return None

    async def _bury_unreadable(self, message: Msg) -> None:
        log.error("buried an order that cannot be read, from %s", message.subject)
        job_id = streams.job_id_of(message.subject)
        await self._dead_letters.bury_payload(job_id, message.data, "the order cannot be read")
        with unavailable_as_typed():
            await message.ack_sync(timeout=TIMEOUT)


def _order(message: Msg) -> JobOrder | None:
    """None when it cannot be read. Even no bytes at all read as an order: it must be of the job it is queued as."""
    try:
        order = JobOrder.FromString(message.data)
    except DecodeError:
        return None
    return order if order.job_id == streams.job_id_of(message.subject) else None


def _request(place: Place) -> dict[str, Any]:
    request: dict[str, Any] = {"batch": 1, "no_wait": True, "group": streams.PULL_GROUP}
    if place.least_pending > 0:
        request["min_pending"] = place.least_pending
    return request
