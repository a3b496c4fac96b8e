"""How a job becomes QUEUED inside somebody's transaction: its event in the outbox, its order when there is room."""

from __future__ import annotations

from datetime import UTC, datetime

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from framewire.db import outbox, releasing
from framewire.db.outbox import OutboxKind
from framewire.db.releasing import Place, Windows
from framewire.db.rows import job_state, timestamp
from framewire.db.tables import assets, job_inputs, jobs
from framewire.errors import ErrorCode, NotFound
from framewire.v1.job_pb2 import Error, Event, StatusChange
from framewire.work.v1.work_pb2 import InputFile, JobOrder


async def announce(
    connection: AsyncConnection, order: JobOrder, state: str, message: str = "", *, error: Error | None = None
) -> None:
    """Leave in the outbox that the job entered `state`, before any attempt of a worker."""
    event = Event(
        job_id=order.job_id,
        workspace_id=order.workspace_id,
        time=timestamp(datetime.now(UTC)),
        status=StatusChange(state=job_state(state), message=message, error=error),
    )
    entry = (OutboxKind.APPEND_EVENT, event.SerializeToString())
    await outbox.put(connection, order.workspace_id, order.job_id, entry)


async def fill_inputs(connection: AsyncConnection, order: JobOrder, *, lock: bool) -> bool:
    """Write into the order what is known of its inputs. Whether all of them are READY.

    `lock` keeps them as they are until the transaction ends: a job that does not exist yet does not protect them.
    Raises NotFound (ASSET_NOT_FOUND).
    """
    wanted = [file.asset_id for file in order.inputs]
    query = sa.select(assets).where(assets.c.workspace_id == order.workspace_id, assets.c.asset_id.in_(wanted))
    rows = {row.asset_id: row for row in await connection.execute(query.with_for_update(read=True) if lock else query)}
    for file in order.inputs:
        row = rows.get(file.asset_id)
        if row is None:
            raise NotFound(f"no asset {file.asset_id}", code=ErrorCode.ASSET_NOT_FOUND)
        file.CopyFrom(
            InputFile(
                asset_id=row.asset_id,
                object_key=row.object_key,
                size_bytes=row.size_bytes,
                sha256=row.sha256,
                filename=row.filename,
            )
        )
    return all(row.state == "READY" for row in rows.values())


async def queue_waiting(connection: AsyncConnection, asset_id: str, windows: Windows) -> int:
    """Queue the jobs that waited for this asset and for no other. Returns how many.

    The jobs' rows are locked before the other inputs are looked at: of two uploads that end at the same moment, the
    second one sees the first. The inputs are not locked: each of the two holds its own and would wait for the other's.
    """
    users = sa.select(job_inputs.c.job_id).where(job_inputs.c.asset_id == asset_id)
    query = (
        sa.select(jobs.c.job_id, jobs.c.job_order)
        .where(jobs.c.job_id.in_(users), jobs.c.state == "WAITING_UPLOAD", ~jobs.c.cancel_requested)
        .order_by(jobs.c.job_id)
        .with_for_update()
    )
    places = []
    for row in (await connection.execute(query)).all():
        order = JobOrder.FromString(row.job_order)
        if await fill_inputs(connection, order, lock=False):
            values = {"state": "QUEUED", "job_order": order.SerializeToString(), "queue_time": datetime.now(UTC)}
            await connection.execute(jobs.update().where(jobs.c.job_id == row.job_id).values(values))
            await announce(connection, order, "QUEUED")
            places.append(Place.of(order))
    await releasing.release(connection, places, windows)
    return len(places)
