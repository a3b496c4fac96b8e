"""Dead letters on JetStream: the order is the message, why and how it came here are its headers."""

from __future__ import annotations

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
_LONGEST_HISTORY = 50
_LONGEST_LINE = 500


class NatsDeadLetters:
    """One message per job: the stream keeps the newest of each subject."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def bury(self, order: JobOrder, reason: str, history: Sequence[str] = ()) -> None:
        """Add or replace the job's letter."""
        await self.bury_payload(order.job_id, order.SerializeToString(), reason, history)

    async def bury_payload(self, job_id: str, payload: bytes, reason: str, history: Sequence[str] = ()) -> None:
        """Add or replace the letter of an order that perhaps nobody can read."""
        lines = [line[:_LONGEST_LINE] for line in history[-_LONGEST_HISTORY:]]
        headers = {_REASON: " ".join(reason.split())[:_LONGEST_LINE], _HISTORY: json.dumps(lines)}
        with unavailable_as_typed():
            await self._connection.js.publish(streams.dead_subject(job_id), payload, headers=headers)

    async def list(self, *, after: int = 0, limit: int = 100) -> Sequence[DeadLetter]:
        """Letters above `after`, oldest first."""
        request = {"seq": after + 1, "next_by_subj": streams.dead_subject("*"), "batch": limit}
        return [_letter(message) async for message in self._connection.direct_batch(streams.DEAD, request)]

    async def get(self, number: int) -> DeadLetter | None:
        """One letter."""
        if number < 1:
            return None
        message = await self._connection.direct_get(streams.DEAD, {"seq": number})
        return None if message is None else _letter(message)

    async def drop(self, number: int) -> None:
        """Remove a letter."""
        if await self.get(number) is None:
            return
        with unavailable_as_typed():
            try:
                await self._connection.js.delete_msg(streams.DEAD, number)
            except NotFoundError:
                return


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
