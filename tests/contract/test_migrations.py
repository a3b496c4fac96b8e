"""What an installation that is upgraded keeps, on every database."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import sqlalchemy as sa
from databases import Stores, W, a_status, an_order

from framewire.db.database import Database
from framewire.db.migrate import upgrade
from framewire.v1.job_pb2 import JOB_STATE_QUEUED, JOB_STATE_SUCCEEDED, JOB_STATE_WAITING_UPLOAD
from framewire.v1.step_pb2 import LANE_CPU
from framewire.work.v1.work_pb2 import JobOrder

_TIME = sa.DateTime(timezone=True)
_BEGAN = datetime(2026, 11, 1, 12, tzinfo=UTC)
# the columns a job had in 0001
_JOBS = sa.table(
    "jobs",
    *(sa.column(name) for name in ("job_id", "workspace_id", "state", "idempotency_key", "fingerprint", "worker")),
    sa.column("job_order", sa.LargeBinary),
    *(sa.column(name) for name in ("attempt", "error_code", "error_message", "last_event")),
    sa.column("output_asset_ids", sa.JSON),
    sa.column("cancel_requested", sa.Boolean),
    *(sa.column(name, _TIME) for name in ("create_time", "start_time", "end_time")),
)


def a_row(order: JobOrder, state: str, minutes: int) -> dict[str, object]:
    return {
        "job_id": order.job_id,
        "workspace_id": W,
        "state": state,
        "idempotency_key": f"key-{minutes}",
        "fingerprint": "f",
        "worker": "",
        "job_order": order.SerializeToString(),
        "attempt": 0,
        "error_code": "",
        "error_message": "",
        "last_event": minutes,
        "output_asset_ids": [],
        "cancel_requested": False,
        "create_time": _BEGAN + timedelta(minutes=minutes),
        "start_time": None,
        "end_time": None,
    }


async def fill(database: Database, rows: list[dict[str, object]]) -> None:
    async with database.write() as connection:
        await connection.execute(_JOBS.insert(), rows)


async def test_jobs_of_the_spine_are_all_there_after_the_upgrade_and_go_on(empty_database):
    await upgrade(empty_database, "0001")
    states = ["WAITING_UPLOAD", "QUEUED", "QUEUED", "SUCCEEDED"]
    orders = [an_order("ast_x", priority=place, lane=LANE_CPU, max_attempts=3) for place in range(4)]
    rows = zip(orders, states, range(4), strict=True)
    await fill(empty_database, [a_row(*row) for row in rows])
    await upgrade(empty_database)
    await upgrade(empty_database)
    stores = Stores(empty_database)
    waiting, first, second, ended = [await stores.jobs.get(W, order.job_id) for order in orders]
    assert [job.state for job in (waiting, first, second, ended)] == [
        JOB_STATE_WAITING_UPLOAD,
        JOB_STATE_QUEUED,
        JOB_STATE_QUEUED,
        JOB_STATE_SUCCEEDED,
    ]
    assert (second.priority, second.lane, second.max_attempts, second.last_event) == (2, LANE_CPU, 3, 2)
    assert await stores.jobs.find_request(W, "key-1", "f") == first
    view = await stores.queue.lane("cpu", [first.job_id, second.job_id])
    assert (view.positions, view.oldest) == ({first.job_id: 1, second.job_id: 2}, _BEGAN + timedelta(minutes=1))
    await stores.fold(a_status(first, 50, JOB_STATE_SUCCEEDED))
    assert (await stores.jobs.get(W, first.job_id)).state == JOB_STATE_SUCCEEDED


async def test_orders_that_were_sent_before_the_upgrade_are_not_sent_again(empty_database):
    await upgrade(empty_database, "0001")
    orders = [an_order("ast_x", lane=LANE_CPU) for _ in range(9)]
    await fill(empty_database, [a_row(order, "QUEUED", n) for n, order in enumerate(orders)])
    await upgrade(empty_database)
    stores = Stores(empty_database)
    assert await stores.jobs.release_waiting() == {}
    assert await stores.released() == []


async def test_every_job_of_a_large_installation_is_brought_over(empty_database):
    await upgrade(empty_database, "0001")
    rows = [a_row(an_order("ast_x"), "SUCCEEDED", n) for n in range(2500)]  # more than two of the migration's batches
    await fill(empty_database, rows)
    await upgrade(empty_database)
    async with empty_database.read() as connection:
        query = sa.text("SELECT count(*) FROM jobs WHERE lane = 'gpu' AND priority = 2")
        assert (await connection.execute(query)).scalar_one() == 2500
