"""What the database has decided and the bus does not know yet.

Written in the transaction that decides, sent by the gateway's relay, removed when the bus has it.
"""

from __future__ import annotations

import enum
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from framewire.db.database import Database
from framewire.db.tables import outbox


class OutboxKind(enum.StrEnum):
    """What is to be done, and with which payload."""

    APPEND_EVENT = "append_event"  # framewire.v1.Event, to the job's log
    PUBLISH_ORDER = "publish_order"  # framewire.work.v1.JobOrder, to the queue
    REQUEST_CANCELLATION = "request_cancellation"  # framewire.work.v1.JobOrder, to the board
    REMOVE_ORDER = "remove_order"  # framewire.work.v1.JobOrder, from the queue
    DELETE_OBJECT = "delete_object"  # the object's key in UTF-8
    DELETE_BELOW = "delete_below"  # what the keys of the objects begin with, in UTF-8
    ABORT_PARTS = "abort_parts"  # key and id of a multipart upload, a line each, in UTF-8


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxRow:
    """One thing to do. Rows of one `subject` (a job's or an asset's id) are to be done in the order of `outbox_id`."""

    outbox_id: int
    subject: str
    kind: OutboxKind
    payload: bytes


Entry = tuple[OutboxKind, bytes]
"""What is to be done, with its payload."""
IN_STORE = frozenset({OutboxKind.DELETE_OBJECT, OutboxKind.DELETE_BELOW, OutboxKind.ABORT_PARTS})
ON_BUS = frozenset(OutboxKind) - IN_STORE
"""What each server behind the gateway is needed for. Rows of one subject are all of one of these."""


class Outbox:
    """The relay's end of the outbox."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def take(
        self, limit: int, *, after: int = 0, kinds: Collection[OutboxKind] = frozenset(OutboxKind)
    ) -> list[OutboxRow]:
        """The oldest rows of these kinds with numbers above `after`. They stay until they are removed."""
        chosen = (outbox.c.outbox_id > after, outbox.c.kind.in_([kind.value for kind in kinds]))
        query = sa.select(outbox).where(*chosen).order_by(outbox.c.outbox_id).limit(limit)
        async with self._database.read() as connection:
            rows = (await connection.execute(query)).all()
        return [
            OutboxRow(outbox_id=row.outbox_id, subject=row.subject, kind=OutboxKind(row.kind), payload=row.payload)
            for row in rows
        ]

    async def remove(self, outbox_ids: Sequence[int]) -> None:
        """Forget rows that were done. Rows that are gone already do no harm."""
        if not outbox_ids:
            return
        async with self._database.write() as connection:
            await connection.execute(outbox.delete().where(outbox.c.outbox_id.in_(outbox_ids)))


async def delete_segments(connection: AsyncConnection, workspace_id: str, job_id: str, prefix: str) -> None:
    """Have every segment of a job deleted, whatever attempt left it; `prefix` is what their keys begin with.

    For a job that has succeeded or was cancelled, at once. A FAILED one keeps its segments for a retry; they go when
    what else is kept of it expires.
    """
    # a subject of its own: what has the job's id here is about to change the job
    await put(connection, workspace_id, f"seg_{job_id.partition('_')[2]}", (OutboxKind.DELETE_BELOW, prefix.encode()))


async def put(connection: AsyncConnection, workspace_id: str, subject: str, *entries: Entry) -> None:
    """Add rows, in order, to the transaction of `connection`."""
    now = datetime.now(UTC)
    for kind, payload in entries:  # one by one: the order of numbers is the order of sending
        await connection.execute(
            outbox.insert().values(
                workspace_id=workspace_id, subject=subject, kind=kind.value, payload=payload, create_time=now
            )
        )
