"""Jobs in the database. Every method is one transaction."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from framewire.db import folding, outbox, queueing, retrying, rows
from framewire.db.database import Database
from framewire.db.outbox import OutboxKind
from framewire.db.releasing import Place, Windows, default_windows, lane_column, places_outside, release
from framewire.db.reservations import FreeOfCharge, Reservations
from framewire.db.tables import job_inputs, jobs
from framewire.errors import Conflict, ErrorCode, NotFound
from framewire.jobs.states import TERMINAL, state_name
from framewire.v1.job_pb2 import Event, Job, JobState
from framewire.work.v1.work_pb2 import JobOrder

_ENDED = frozenset(state_name(state) for state in TERMINAL)


class JobStore:
    """Jobs of all workspaces; the caller says in which one it looks.

    `windows` says how many orders of a workspace may stand in the queue; the others are released as these end.
    `reservations` holds and settles what jobs cost, in the same transactions.
    """

    def __init__(
        self,
        database: Database,
        windows: Windows = default_windows,
        reservations: Reservations = FreeOfCharge(),  # noqa: B008 - it keeps nothing
    ) -> None:
        self._database = database
        self._windows = windows
        self._reservations = reservations

    async def create_job(self, order: JobOrder, *, idempotency_key: str = "", fingerprint: str = "") -> Job:
        """Store a job and leave its first event in the outbox, and its order when inputs are READY and there is room.

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
            await self._reservations.reserve(connection, order)
            if ready:
                await queueing.announce(connection, order, "QUEUED")
                await release(connection, [Place.of(order)], self._windows)
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
        row = await self._database.read_one(_BY_ID, workspace_id=workspace_id, job_id=job_id)
        if row is None:
            raise _no_such_job(job_id)
        return rows.job(row)

    async def list(
        self, workspace_id: str, *, limit: int, before: str = "", wanted: JobFilter | None = None
    ) -> Sequence[Job]:
        """Up to `limit` jobs, newest first, that are older than the job `before`; only those wanted when given."""
        query = sa.select(jobs).where(jobs.c.workspace_id == workspace_id)
        if before:
            query = query.where(jobs.c.job_id < before)
        if wanted is not None:
            query = query.where(*wanted.conditions())
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

    async def retry(self, workspace_id: str, job_id: str, *, attempts: Callable[[JobOrder], int]) -> Job:
        """Queue a FAILED job again, with `attempts` more than it has used, and leave in the outbox what makes it so.

        Raises NotFound (JOB_NOT_FOUND; ASSET_NOT_FOUND when its input was deleted), Conflict (JOB_NOT_FAILED).
        """
        async with self._database.write() as connection:
            row = await _find(connection, workspace_id, job_id, lock=True)
            if row.state != "FAILED":
                message = f"{job_id} is {row.state}; only a FAILED job can be retried"
                raise Conflict(message, code=ErrorCode.JOB_NOT_FAILED)
            order = await retrying.retry(connection, row, attempts)
            await self._reservations.reserve(connection, order)
            await release(connection, [Place(row.workspace_id, row.lane, row.priority)], self._windows)
            job = rows.job(await _find(connection, workspace_id, job_id))
        self._database.outbox_filled.set()
        return job

    async def republish(self, job_id: str) -> Job:
        """Leave the order of a job that has not ended in the outbox once more: the queue may have lost it.

        A job that has ended, or whose order was not released yet, stays as it is. Raises NotFound (JOB_NOT_FOUND).
        """
        async with self._database.write() as connection:
            row = await _find(connection, None, job_id, lock=True)
            if row.released and row.state not in _ENDED:
                entry = (OutboxKind.PUBLISH_ORDER, row.job_order)
                await outbox.put(connection, row.workspace_id, job_id, entry)
        self._database.outbox_filled.set()
        return rows.job(row)

    async def release_waiting(self) -> dict[str, int]:
        """Release what there is room for, in every workspace. Returns how many still wait outside, by lane."""
        async with self._database.read() as connection:
            outside = await places_outside(connection)
        left = dict.fromkeys((place.lane for place in outside), 0)
        for place, count in outside.items():
            async with self._database.write() as connection:
                released = await release(connection, [place], self._windows)
            left[place.lane] += count - released
            if released:
                self._database.outbox_filled.set()
        return left

    async def fold(self, events: Sequence[Event], *, keys: folding.ObjectKeys) -> None:
        """Bring the rows up to these events, all or none of them, and release what those that ended made room for.

        An event that was folded before, or that comes after one that ends the job, changes nothing; jobs
        nobody knows are passed over. `keys` say where its outputs lie in the object store.
        """
        async with self._database.write() as connection:
            ended = await folding.fold(connection, events, keys, self._reservations)
            released = await release(connection, ended, self._windows)
        if released:
            self._database.outbox_filled.set()


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFilter:
    """Which jobs a list is to show."""

    state: JobState.ValueType | None = None
    created_from: datetime | None = None
    """Created at this time or later."""
    created_before: datetime | None = None

    def conditions(self) -> list[sa.ColumnElement[bool]]:
        """As SQL."""
        conditions = []
        if self.state is not None:
            conditions.append(jobs.c.state == state_name(self.state))
        if self.created_from is not None:
            conditions.append(jobs.c.create_time >= self.created_from)
        if self.created_before is not None:
            conditions.append(jobs.c.create_time < self.created_before)
        return conditions


def _new_row(order: JobOrder, state: str, idempotency_key: str, fingerprint: str) -> dict[str, Any]:
    now = datetime.now(UTC)
    return {
        "job_id": order.job_id,
        "workspace_id": order.workspace_id,
        "state": state,
        "job_order": order.SerializeToString(),
        "lane": lane_column(order.lane),
        "priority": order.priority,
        "released": False,
        "queue_time": now if state == "QUEUED" else None,
        "idempotency_key": idempotency_key or None,
        "fingerprint": fingerprint,
        "attempt": 0,
        "worker": "",
        "placement": "",
        "output_asset_ids": [],
        "error_code": "",
        "error_message": "",
        "cancel_requested": False,
        "last_event": 0,
        "create_time": order.create_time.ToDatetime(UTC) if order.HasField("create_time") else now,
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


_BY_ID = sa.select(jobs).where(
    jobs.c.workspace_id == sa.bindparam("workspace_id"), jobs.c.job_id == sa.bindparam("job_id")
)


def _no_such_job(job_id: str) -> NotFound:
    return NotFound(f"no job {job_id}", code=ErrorCode.JOB_NOT_FOUND)


async def _find(connection: AsyncConnection, workspace_id: str | None, job_id: str, *, lock: bool = False) -> rows.Row:
    """The job's row; of any workspace when none is named."""
    query = sa.select(jobs).where(jobs.c.job_id == job_id)
    if workspace_id is not None:
        query = query.where(jobs.c.workspace_id == workspace_id)
    row = (await connection.execute(query.with_for_update() if lock else query)).one_or_none()
    if row is None:
        raise _no_such_job(job_id)
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
