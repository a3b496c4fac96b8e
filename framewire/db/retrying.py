"""How a FAILED job is queued again, inside somebody's transaction."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from framewire.db import outbox, queueing
from framewire.db.folding import NOT_ENDED
from framewire.db.outbox import OutboxKind
from framewire.db.rows import Row, timestamp
from framewire.db.tables import jobs
from framewire.errors import Conflict, ErrorCode
from framewire.v1.job_pb2 import JOB_STATE_QUEUED, Event, StatusChange
from framewire.work.v1.work_pb2 import JobOrder


async def retry(connection: AsyncConnection, row: Row, attempts: Callable[[JobOrder], int]) -> JobOrder:
    """Bring the row back to QUEUED, unreleased, and leave in the outbox what the bus has to know. Returns its order.

    The order of the attempts before goes first, while the log still says FAILED: a worker that gets it once more
    would take the new QUEUED for its own. Raises NotFound (ASSET_NOT_FOUND), Conflict (ASSET_NOT_READY).
    """
    order = JobOrder.FromString(row.job_order)
    if not await queueing.fill_inputs(connection, order, lock=True):
        raise Conflict("the job's input is not uploaded", code=ErrorCode.ASSET_NOT_READY)
    order.max_attempts = row.attempt + attempts(order)
    now = datetime.now(UTC)
    values = {"state": "QUEUED", "job_order": order.SerializeToString(), "released": False, "queue_time": now}
    await connection.execute(
        jobs.update().where(jobs.c.job_id == row.job_id).values(**values, **NOT_ENDED, progress=None)
    )
    remove = (OutboxKind.REMOVE_ORDER, row.job_order)
    event = (OutboxKind.APPEND_EVENT, _asked_again(row, now).SerializeToString())
    await outbox.put(connection, row.workspace_id, row.job_id, remove, event)
    return order


def _asked_again(row: Row, now: datetime) -> Event:
    """QUEUED, to be appended right after event `number`: the FAILED one, and no later one."""
    return Event(
        number=row.last_event,
        job_id=row.job_id,
        workspace_id=row.workspace_id,
        time=timestamp(now),
        attempt=row.attempt,
        status=StatusChange(state=JOB_STATE_QUEUED, message="asked for again"),
    )
