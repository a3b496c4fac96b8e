"""The log of events on JetStream."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator, Sequence

import nats.errors
from google.protobuf.message import DecodeError
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.js.api import AckPolicy, ConsumerConfig
from nats.js.errors import APIError

from framewire.bus import streams
from framewire.bus.connection import TIMEOUT, Connection, number_before, number_of, status_of, unavailable_as_typed
from framewire.bus.interface import EventConflict
from framewire.errors import ErrorCode, Unavailable
from framewire.jobs.states import ends_job
from framewire.v1.job_pb2 import Event

log = logging.getLogger(__name__)

_REQUEST_OVER = {"404", "408"}
"""Nothing there, or the time of a request is up; any other status means that the consumer has gone or moved."""
_WRONG_LAST_SEQUENCE = 10071
_LOOK_AGAIN = 3.0
"""Seconds of silence after which a reader looks into the log: the last event may have been missed."""
_PAUSE = 0.5
_FEED_ACK_WAIT = 4.0
"""Seconds after which a feed repeats what was not acknowledged: how long a record is behind when its keeper died."""
_PATIENCE = 60.0
"""Seconds a reader waits for servers that have gone away."""
_LIVE_PENDING = 512
"""Events one reader may be behind before its live subscription drops some, which it then reads from the log."""


class NatsEventLog:
    """Appends are fenced by the number of the job's newest event; readers follow live and repair gaps from the log."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def append(self, event: Event, *, after: int) -> int:
        """Append if the newest event is still number `after`; raises EventConflict otherwise."""
        payload = _payload(event)
        try:
            with unavailable_as_typed():
                return await self._publish(event.job_id, payload, after)
        except EventConflict as conflict:
            # an answer that was lost on its way makes the second try meet the first one's event
            if conflict.last is not None and _payload(conflict.last) == payload and conflict.last.number > after:
                return conflict.last.number
            raise

    async def last(self, job_id: str) -> Event | None:
        """The job's newest event."""
        message = await self._connection.direct_get(streams.EVENTS, {"last_by_subj": streams.event_subject(job_id)})
        return None if message is None else _event(message)

    async def read(self, job_id: str, *, after: int = 0) -> AsyncIterator[Event]:
        """Events above `after`, past and to come; ends after the one that ends the job, if it is the newest."""
        with unavailable_as_typed():
            live = await self._connection.client.subscribe(
                streams.live_subject(job_id), pending_msgs_limit=_LIVE_PENDING
            )
        try:
            async for event in self._follow(job_id, live, after):
                yield event
                if ends_job(event) and await self._is_newest(event):
                    return
        finally:
            with contextlib.suppress(nats.errors.Error):
                await live.unsubscribe()

    async def open_feed(self, name: str) -> NatsEventFeed:
        """All jobs' events for a reader that remembers how far it came."""
        config = ConsumerConfig(
            durable_name=name, ack_policy=AckPolicy.EXPLICIT, ack_wait=_FEED_ACK_WAIT, max_ack_pending=1000
        )
        with unavailable_as_typed():
            await self._connection.js.add_consumer(streams.EVENTS, config)
        return await NatsEventFeed.open(self._connection, name)

    async def _is_newest(self, ending: Event) -> bool:
        """Whether nobody has asked for a retry since. Raises Unavailable when the servers stay away."""
        give_up_at = time.monotonic() + _PATIENCE
        while True:
            try:
                last = await self.last(ending.job_id)
            except Unavailable:
                if time.monotonic() > give_up_at:
                    raise
                await asyncio.sleep(_PAUSE)
            else:
                return last is None or last.number <= ending.number

    async def _publish(self, job_id: str, payload: bytes, after: int) -> int:
        try:
            answer = await self._connection.js.publish(
                streams.event_subject(job_id),
                payload,
                headers={"Nats-Expected-Last-Subject-Sequence": str(after)},
                stream=streams.EVENTS,
            )
        except APIError as error:
            if error.err_code != _WRONG_LAST_SEQUENCE:
                raise
            raise EventConflict(await self.last(job_id)) from None
        return int(answer.seq)

    async def _follow(self, job_id: str, live: Subscription, last: int) -> AsyncIterator[Event]:
        """History, then live events until one is missing or none comes, then history again, and so on."""
        lost_since: float | None = None
        while True:
            try:
                async with contextlib.aclosing(self._history(job_id, last)) as history:
                    async for event in history:
                        last = event.number
                        yield event
                lost_since = None
            except Unavailable:
                lost_since = lost_since or time.monotonic()
                if time.monotonic() - lost_since > _PATIENCE:
                    raise
            async for event in self._live(live, last):
                last = event.number
                yield event

    async def _history(self, job_id: str, after: int) -> AsyncGenerator[Event, None]:
        stored = self._connection.stored(streams.EVENTS, streams.event_subject(job_id), after=after)
        async with contextlib.aclosing(stored):
            async for message in stored:
                yield _event(message)

    async def _live(self, live: Subscription, last: int) -> AsyncIterator[Event]:
        reconnected = self._connection.reconnected
        while not reconnected.is_set():
            try:
                message = await live.next_msg(timeout=_LOOK_AGAIN)
            except (nats.errors.TimeoutError, nats.errors.SlowConsumerError):
                return
            except nats.errors.Error as error:
                raise Unavailable(f"NATS connection closed: {error}") from error
            if number_of(message) <= last:
                continue
            if number_before(message) > last:
                return  # something between is missing: the log has it
            last = number_of(message)
            yield _event(message)


class NatsReceived:
    """An event of a feed."""

    def __init__(self, message: Msg) -> None:
        self._message = message
        self.event = Event.FromString(message.data)
        self.event.number = message.metadata.sequence.stream

    async def ack(self) -> None:
        """Do not deliver it again. A lost acknowledgement means one more delivery, nothing worse."""
        with unavailable_as_typed(), contextlib.suppress(nats.errors.MsgAlreadyAckdError):
            await self._message.ack()


class NatsEventFeed:
    """A pull consumer read through one inbox, so that what is there is returned at once."""

    def __init__(self, connection: Connection, name: str, inbox: str, answers: Subscription) -> None:
        self._connection = connection
        self._name = name
        self._inbox = inbox
        self._answers = answers
        self._asked = 0
        self._asked_until = 0.0

    @classmethod
    async def open(cls, connection: Connection, name: str) -> NatsEventFeed:
        """Subscribe the inbox."""
        inbox = connection.client.new_inbox()
        with unavailable_as_typed():
            return cls(connection, name, inbox, await connection.client.subscribe(inbox))

    async def fetch(self, *, batch: int, wait: float) -> Sequence[NatsReceived]:
        """Up to `batch` events, waiting up to `wait` seconds for the first."""
        received: list[NatsReceived] = []
        deadline = time.monotonic() + wait
        while len(received) < batch:
            left = deadline - time.monotonic()
            if not self._answers.pending_msgs and (received or left <= 0):
                break
            await self._ask(batch, max(left, 0.1))
            try:
                message = await self._answers.next_msg(timeout=max(left, 0.1))
            except nats.errors.TimeoutError:
                break
            if status := status_of(message):
                self._asked = 0
                if status in _REQUEST_OVER:
                    continue
                if received:
                    break  # the next fetch hears of it
                raise Unavailable(f"NATS answered {status} to a feed", code=ErrorCode.BUS_UNAVAILABLE)
            self._asked -= 1
            if event := await _readable(message):
                received.append(event)
        return received

    async def close(self) -> None:
        """Stop reading; what was handed out and not acknowledged comes again."""
        with contextlib.suppress(nats.errors.Error):
            await self._answers.unsubscribe()

    async def _ask(self, batch: int, wait: float) -> None:
        if self._asked > 0 and time.monotonic() < self._asked_until:
            return
        subject = f"$JS.API.CONSUMER.MSG.NEXT.{streams.EVENTS}.{self._name}"
        request = f'{{"batch":{batch},"expires":{int(wait * 1e9)}}}'
        with unavailable_as_typed():
            await self._connection.client.publish(subject, request.encode(), reply=self._inbox)
        self._asked, self._asked_until = batch, time.monotonic() + min(wait, TIMEOUT)


async def _readable(message: Msg) -> NatsReceived | None:
    """None for bytes that are no event: they are passed over for good, or they would come back for ever."""
    try:
        return NatsReceived(message)
    except DecodeError:
        log.critical("passed over number %d on %s, it is no event", message.metadata.sequence.stream, message.subject)
        with unavailable_as_typed():
            await message.term()
        return None


def _payload(event: Event) -> bytes:
    """The event as stored: without its number, which the stream gives."""
    stored = Event()
    stored.CopyFrom(event)
    stored.number = 0
    return stored.SerializeToString(deterministic=True)


def _event(message: Msg) -> Event:
    event = Event.FromString(message.data)
    event.number = number_of(message)
    return event
