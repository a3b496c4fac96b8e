"""Dead letters on JetStream: the order is the message, why and how it came here are its headers.

Beside them lie the servers' own advisories about orders, which the stream captures without anybody's help.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence

from google.protobuf.message import DecodeError
from nats.aio.msg import Msg
from nats.js.errors import NotFoundError

from framewire.bus import streams
from framewire.bus.connection import Connection, number_of, time_of, unavailable_as_typed
from framewire.bus.interface import DeadLetter
from framewire.work.v1.work_pb2 import JobOrder

_REASON = "Framewire-Reason"
_HISTORY = "Framewire-History"
_REMOVED = "Unacknowledged message was deleted"  # nats-server's words for it
_LONGEST_HISTORY = 50
_LONGEST_LINE = 500


class NatsDeadLetters:
    """One message per job: a new one clears away those before it."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def bury(self, order: JobOrder, reason: str, history: Sequence[str] = ()) -> None:
        """Add or replace the job's letter."""
        await self.bury_payload(order.job_id, order.SerializeToString(), reason, history)

    async def bury_payload(self, job_id: str, payload: bytes, reason: str, history: Sequence[str] = ()) -> None:
        """Add or replace the letter of an order that perhaps nobody can read."""
        lines = [line[:_LONGEST_LINE] for line in history[-_LONGEST_HISTORY:]]
        headers = {_REASON: " ".join(reason.split())[:_LONGEST_LINE], _HISTORY: json.dumps(lines)}
        subject = streams.dead_subject(job_id)
        with unavailable_as_typed():
            await self._connection.js.publish(subject, payload, headers=headers)
            await self._connection.js.purge_stream(streams.DEAD, subject=subject, keep=1)

    async def list(self, *, after: int = 0, limit: int = 100) -> Sequence[DeadLetter]:
        """Letters above `after`, oldest first."""
        letters: list[DeadLetter] = []
        async with contextlib.aclosing(self._connection.stored(streams.DEAD, ">", after=after)) as messages:
            async for message in messages:
                if not _is_removal(message):
                    letters.append(await self._letter(message))
                if len(letters) >= limit:
                    break
        return letters

    async def get(self, number: int) -> DeadLetter | None:
        """One letter."""
        if number < 1:
            return None
        message = await self._connection.direct_get(streams.DEAD, {"seq": number})
        return None if message is None else await self._letter(message)

    async def drop(self, number: int) -> None:
        """Remove a letter."""
        if await self.get(number) is None:
            return
        with unavailable_as_typed():
            try:
                await self._connection.js.delete_msg(streams.DEAD, number)
            except NotFoundError:
                return

    async def _letter(self, message: Msg) -> DeadLetter:
        subject = (message.headers or {})["Nats-Subject"]
        return await self._advisory(message) if subject.startswith(streams.ADVISORIES) else _letter(message)

    async def _advisory(self, message: Msg) -> DeadLetter:
        """The advisory names the order by its number; it may be gone by now."""
        facts = json.loads(message.data)
        stored = await self._connection.direct_get(streams.JOBS, {"seq": facts["stream_seq"]})
        kind = (message.headers or {})["Nats-Subject"].removeprefix(f"{streams.ADVISORIES}.").split(".")[0]
        return DeadLetter(
            number=number_of(message),
            job_id="" if stored is None else streams.job_id_of((stored.headers or {})["Nats-Subject"]),
            reason=f"{kind}: consumer {facts['consumer']} handed it out {facts.get('deliveries', 0)} times",
            time=time_of(message),
            order=None if stored is None else _order(stored.data),
            payload=message.data if stored is None else stored.data,
        )


def _is_removal(message: Msg) -> bool:
    """An advisory of what we did ourselves: an order was taken out of the queue that somebody had not acknowledged."""
    if not (message.headers or {})["Nats-Subject"].startswith(streams.ADVISORIES):
        return False
    return bool(json.loads(message.data).get("reason") == _REMOVED)


def _letter(message: Msg) -> DeadLetter:
    headers = message.headers or {}
    return DeadLetter(
        number=number_of(message),
        job_id=headers["Nats-Subject"].split(".", 1)[1],
        reason=headers.get(_REASON, "no reason given"),
        time=time_of(message),
        order=_order(message.data),
        payload=message.data,
        history=tuple(json.loads(headers.get(_HISTORY, "[]"))),
    )


def _order(payload: bytes) -> JobOrder | None:
    try:
        return JobOrder.FromString(payload)
    except DecodeError:
        return None
