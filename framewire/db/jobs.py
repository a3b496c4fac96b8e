"""Jobs in the database. Every method is one transaction."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from framewire.db import folding, outbox, queueing, rows
from framewire.db.database import Database
from framewire.db.outbox import OutboxKind
from framewire.db.tables import job_inputs, jobs
from framewire.errors import Conflict, ErrorCode, NotFound
from framewire.jobs.states import TERMINAL, state_name
from framewire.v1.asset_pb2 import Asset
from framewire.v1.job_pb2 import Event, Job, JobState
from framewire.work.v1.work_pb2 import JobOrder

_ENDED = frozenset(state_name(state) for state in TERMINAL)


class JobStore:
    """Jobs of all workspaces; the caller says in which one it looks."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create_job(self, order: JobOrder, *, idempotency_key: str = "", fingerprint: str = "") -> Job:
        """Store a job and leave its first event, and its order when all inputs are READY, in the outbox.

        `order.inputs` needs the asset ids only. With an idempotency key that was used before, nothing is
        created and the job of that key is returned, however many ask at once; `fingerprint` says which request it was.
        Raises NotFound (ASSET_NOT_FOUND), Conflict (IDEMPOTENCY_KEY_REUSED).
        """
        async with self._database.write() as connection:
            ready = await queueing.fill_inputs(connection, order, lock=True)
            values = _new_row(order, "QUEUED" if ready else "WAITING_UPLOAD", idempotency_key, fingerprint)
            if not await _insert_unless_there(connection, values):
                return await _same_request(connection, order.workspace_id, idempotency_key, fingerprint)
            await _insert_inputs(connection, order)
            if ready:
                await queueing.publish(connection, order)
            else:
                await queueing.announce(connection, order, "WAITING_UPLOAD", "waits for its input's upload")
            job = rows.job(await _find(connection, order.workspace_id, order.job_id))
        self._database.outbox_filled.set()
        return job

    async def find_request(self, workspace_id: str, idempotency_key: str, fingerprint: str) -> Job | None:
        """The job an earlier request with this key made. Raises Conflict (IDEMPOTENCY_KEY_REUSED)."""
        async with self._database.read() as connection:
            row = await _find_key(connection, workspace_id, idempotency_key)
        return None if row is None else _checked(row, fingerprint)

    async def get(self, workspace_id: str, job_id: str) -> Job:
        """One job. Raises NotFound (JOB_NOT_FOUND)."""
        async with self._database.read() as connection:
            return rows.job(await _find(connection, workspace_id, job_id))

    async def list(
        self, workspace_id: str, *, limit: int, before: str = "", state: JobState.ValueType | None = None
    ) -> Sequence[Job]:
        """Up to `limit` jobs, newest first, that are older than the job `before`; in one state when given."""
        query = sa.select(jobs).where(jobs.c.workspace_id == workspace_id)
        if before:
            query = query.where(jobs.c.job_id < before)
        if state is not None:
            query = query.where(jobs.c.state == state_name(state))
        async with self._database.read() as connection:
            found = await connection.execute(query.order_by(jobs.c.job_id.desc()).limit(limit))
            return [rows.job(row) for row in found]

    async def request_cancel(self, workspace_id: str, job_id: str) -> Job:
        """Note that somebody wants the job stopped and leave in the outbox what makes it so.

        A job that has ended, or that was asked to stop before, stays as it is. Raises NotFound (JOB_NOT_FOUND).
        """
        async with self._database.write() as connection:
            row = await _find(connection, workspace_id, job_id, lock=True)
            if row.state in _ENDED or row.cancel_requested:
                return rows.job(row)
            await connection.execute(jobs.update().where(jobs.c.job_id == job_id).values(cancel_requested=True))
            await _put_cancellation(connection, JobOrder.FromString(row.job_order))
            job = rows.job(await _find(connection, workspace_id, job_id))
        self._database.outbox_filled.set()
        return job

    async def fold(self, events: Sequence[Event], *, result_key: Callable[[Event, Asset], str]) -> None:
        """Bring the rows up to these events, all or none of them.

        An event that was folded before, or that comes after one that ends the job, changes nothing; jobs
        nobody knows are passed over. `result_key` says where an event's output lies in the object store.
        """
        async with self._database.write() as connection:
            await folding.fold(connection, events, result_key)


def _new_row(order: JobOrder, state: str, idempotency_key: str, fingerprint: str) -> dict[str, Any]:
    return {
        "job_id": order.job_id,
        "workspace_id": order.workspace_id,
        "state": state,
        "job_order": order.SerializeToString(),
        "idempotency_key": idempotency_key or None,
        "fingerprint": fingerprint,
        "attempt": 0,
        "worker": "",
        "output_asset_ids": [],
        "error_code": "",
        "error_message": "",
        "cancel_requested": False,
        "last_event": 0,
        "create_time": order.create_time.ToDatetime(UTC) if order.HasField("create_time") else datetime.now(UTC),
    }


async def _insert_unless_there(connection: AsyncConnection, values: dict[str, Any]) -> bool:
    """Insert a job; False when its idempotency key is taken. Waits for whoever takes the key at this moment."""
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    insert = dialect.insert(jobs).values(values)
    insert = insert.on_conflict_do_nothing(index_elements=["workspace_id", "idempotency_key"])
    return (await connection.execute(insert)).rowcount == 1


async def _insert_inputs(connection: AsyncConnection, order: JobOrder) -> None:
    inputs = [
        {"job_id": order.job_id, "position": position, "workspace_id": order.workspace_id, "asset_id": file.asset_id}
        for position, file in enumerate(order.inputs)
    ]
    await connection.execute(job_inputs.insert(), inputs)


async def _put_cancellation(connection: AsyncConnection, order: JobOrder) -> None:
    payload = order.SerializeToString()
    await outbox.put(connection, order.workspace_id, order.job_id, (OutboxKind.REQUEST_CANCELLATION, payload))
    await queueing.announce(connection, order, "CANCELLED", "cancelled before a worker had it")
    await outbox.put(connection, order.workspace_id, order.job_id, (OutboxKind.REMOVE_ORDER, payload))


async def _find(connection: AsyncConnection, workspace_id: str, job_id: str, *, lock: bool = False) -> rows.Row:
    query = sa.select(jobs).where(jobs.c.workspace_id == workspace_id, jobs.c.job_id == job_id)
    row = (await connection.execute(query.with_for_update() if lock else query)).one_or_none()
    if row is None:
        raise NotFound(f"no job {job_id}", code=ErrorCode.JOB_NOT_FOUND)
    return row


async def _find_key(connection: AsyncConnection, workspace_id: str, idempotency_key: str) -> rows.Row | None:
    query = sa.select(jobs).where(jobs.c.workspace_id == workspace_id, jobs.c.idempotency_key == idempotency_key)
    return (await connection.execute(query)).one_or_none()


async def _same_request(connection: AsyncConnection, workspace_id: str, key: str, fingerprint: str) -> Job:
    row = await _find_key(connection, workspace_id, key)
    if row is None:  # taken when we inserted and gone now: jobs are never deleted while they can be asked for
        raise Conflict("this idempotency key was just released; try again", retryable=True)
    return _checked(row, fingerprint)


def _checked(row: rows.Row, fingerprint: str) -> Job:
    if row.fingerprint != fingerprint:
        raise Conflict(
            f"this idempotency key made {row.job_id} with another request", code=ErrorCode.IDEMPOTENCY_KEY_REUSED
        )
    return rows.job(row)
