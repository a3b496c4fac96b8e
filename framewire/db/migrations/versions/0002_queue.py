"""The queue: lane and priority as columns, which orders were released, since when a job waits, why it runs where."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from framewire.v1.step_pb2 import Lane
from framewire.work.v1.work_pb2 import JobOrder

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_TIME = sa.DateTime(timezone=True)
_BATCH = 1000
_jobs = sa.table(
    "jobs",
    sa.column("job_id", sa.String),
    sa.column("state", sa.String),
    sa.column("job_order", sa.LargeBinary),
    sa.column("lane", sa.String),
    sa.column("priority", sa.Integer),
    sa.column("released", sa.Boolean),
    sa.column("queue_time", _TIME),
    sa.column("create_time", _TIME),
    sa.column("placement", sa.Text),
)


def upgrade() -> None:
    """Add the columns, read lane and priority out of the orders, then index them.

    Until now every order was sent as soon as its job was QUEUED: all but those that wait for an upload are released.
    """
    with op.batch_alter_table("jobs") as table:
        table.add_column(sa.Column("lane", sa.String(16), nullable=False, server_default=""))
        table.add_column(sa.Column("priority", sa.Integer, nullable=False, server_default="0"))
        table.add_column(sa.Column("released", sa.Boolean, nullable=False, server_default=sa.false()))
        table.add_column(sa.Column("placement", sa.Text, nullable=False, server_default=""))
        table.add_column(sa.Column("queue_time", _TIME, nullable=True))
    _fill()
    with op.batch_alter_table("jobs") as table:
        for name in ("lane", "priority", "released", "placement"):
            table.alter_column(name, server_default=None)
    op.create_index("ix_jobs_workspace_id_create_time", "jobs", ["workspace_id", "create_time"])
    op.create_index("ix_jobs_queue", "jobs", ["lane", "state", "workspace_id", "priority", "released", "queue_time"])
    op.create_index("ix_jobs_lane_state_end_time", "jobs", ["lane", "state", "end_time"])


def downgrade() -> None:
    """Forget all of it. Orders that were not released are lost to the queue: let it run empty first."""
    for name in ("ix_jobs_workspace_id_create_time", "ix_jobs_queue", "ix_jobs_lane_state_end_time"):
        op.drop_index(name, "jobs")
    with op.batch_alter_table("jobs") as table:
        for name in ("lane", "priority", "released", "placement", "queue_time"):
            table.drop_column(name)


def _fill() -> None:
    connection = op.get_bind()
    waits = _jobs.c.state == "WAITING_UPLOAD"
    connection.execute(
        _jobs.update().values(
            released=sa.case((waits, sa.false()), else_=sa.true()),
            queue_time=sa.case((waits, sa.null()), else_=_jobs.c.create_time),
        )
    )
    last = ""
    query = sa.select(_jobs.c.job_id, _jobs.c.job_order).order_by(_jobs.c.job_id).limit(_BATCH)
    while rows := connection.execute(query.where(_jobs.c.job_id > last)).all():
        for row in rows:
            order = JobOrder.FromString(row.job_order)
            lane = Lane.Name(order.lane).removeprefix("LANE_").lower()
            values = {"lane": lane, "priority": order.priority}
            connection.execute(_jobs.update().where(_jobs.c.job_id == row.job_id).values(values))
        last = rows[-1].job_id
