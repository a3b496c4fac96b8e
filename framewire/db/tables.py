"""The tables. Whatever belongs to somebody carries `workspace_id`.

Messages that only travel (a job's order, its progress, a file's media facts) are kept as protobuf bytes, not as
JSON or columns: no query looks inside them, the message is already the record everywhere else, its field numbers are
the compatibility rule, and fields a newer version wrote survive an older one. What is searched, sorted, guarded or
read by people at a database prompt is a column.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa


class UtcTime(sa.types.TypeDecorator[datetime]):
    """An aware datetime in UTC, also on SQLite, which keeps no zone."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        """To UTC."""
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: Any | None, dialect: sa.Dialect) -> datetime | None:
        """Aware again."""
        return None if value is None else value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


metadata = sa.MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)

_BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")  # SQLite counts up only an INTEGER key

workspaces = sa.Table(
    "workspaces",
    metadata,
    sa.Column("workspace_id", sa.String(64), primary_key=True),
    sa.Column("create_time", UtcTime, nullable=False),
)

assets = sa.Table(
    "assets",
    metadata,
    sa.Column("asset_id", sa.String(30), primary_key=True),
    sa.Column("workspace_id", sa.ForeignKey("workspaces.workspace_id"), nullable=False),
    sa.Column("filename", sa.String(255), nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("size_bytes", sa.BigInteger, nullable=False),
    sa.Column("declared_sha256", sa.String(64), nullable=False),
    sa.Column("sha256", sa.String(64), nullable=False),
    sa.Column("object_key", sa.String(255), nullable=False),
    sa.Column("thumbnail_key", sa.String(255), nullable=False, default=""),  # empty: there is none
    sa.Column("source_job_id", sa.String(30), nullable=False),
    sa.Column("media", sa.LargeBinary, nullable=True),
    sa.Column("create_time", UtcTime, nullable=False),
    sa.Column("expire_time", UtcTime, nullable=True, index=True),
    sa.Index(None, "workspace_id", "asset_id"),  # the list: ids sort by time
    sa.Index(None, "workspace_id", "sha256"),  # what the workspace has already
)

uploads = sa.Table(  # beside each asset that is UPLOADING
    "uploads",
    metadata,
    sa.Column("asset_id", sa.ForeignKey("assets.asset_id", ondelete="CASCADE"), primary_key=True),
    sa.Column("workspace_id", sa.ForeignKey("workspaces.workspace_id"), nullable=False),
    sa.Column("part_size", sa.Integer, nullable=False),
    sa.Column("multipart_id", sa.Text, nullable=False),  # the store's; empty while no part was begun
    sa.Column("writer", sa.String(64), nullable=False),  # who sends through a gateway; empty: nobody
    sa.Column("writer_until", UtcTime, nullable=True),
)

jobs = sa.Table(
    "jobs",
    metadata,
    sa.Column("job_id", sa.String(30), primary_key=True),
    sa.Column("workspace_id", sa.ForeignKey("workspaces.workspace_id"), nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("job_order", sa.LargeBinary, nullable=False),  # framewire.work.v1.JobOrder: what was asked for
    sa.Column("lane", sa.String(16), nullable=False),
    sa.Column("priority", sa.Integer, nullable=False),
    sa.Column("released", sa.Boolean, nullable=False),  # its order is in the queue, or on its way there
    sa.Column("queue_time", UtcTime, nullable=True),  # when it was QUEUED: at its creation, by an upload, by a retry
    sa.Column("idempotency_key", sa.String(128), nullable=True),
    sa.Column("fingerprint", sa.String(64), nullable=False),
    sa.Column("attempt", sa.Integer, nullable=False),
    sa.Column("worker", sa.String(255), nullable=False),
    sa.Column("placement", sa.Text, nullable=False),
    sa.Column("progress", sa.LargeBinary, nullable=True),
    sa.Column("fidelity", sa.LargeBinary, nullable=True),
    sa.Column("output_asset_ids", sa.JSON, nullable=False),
    sa.Column("error_code", sa.String(64), nullable=False),
    sa.Column("error_message", sa.Text, nullable=False),
    sa.Column("cancel_requested", sa.Boolean, nullable=False),
    sa.Column("last_event", sa.BigInteger, nullable=False),
    sa.Column("create_time", UtcTime, nullable=False),
    sa.Column("start_time", UtcTime, nullable=True),
    sa.Column("end_time", UtcTime, nullable=True),
    sa.Column("segments_gone", sa.Boolean, nullable=False, default=False),  # what a FAILED job left has expired
    sa.UniqueConstraint("workspace_id", "idempotency_key"),
    sa.Index(None, "workspace_id", "job_id"),  # the list: ids sort by time
    sa.Index(None, "workspace_id", "state", "job_id"),
    sa.Index(None, "workspace_id", "create_time"),
    # the queue: what a workspace has in it, what comes next, what waits in a lane
    sa.Index("ix_jobs_queue", "lane", "state", "workspace_id", "priority", "released", "queue_time"),
    sa.Index(None, "state", "segments_gone", "end_time"),  # what expires
    sa.Index(None, "lane", "state", "end_time"),  # how long jobs took lately
)

job_inputs = sa.Table(
    "job_inputs",
    metadata,
    sa.Column("job_id", sa.ForeignKey("jobs.job_id", ondelete="CASCADE"), primary_key=True),
    sa.Column("position", sa.Integer, primary_key=True),
    sa.Column("workspace_id", sa.ForeignKey("workspaces.workspace_id"), nullable=False),
    # no foreign key: what a finished job was made from stays known when the asset is deleted
    sa.Column("asset_id", sa.String(30), nullable=False, index=True),
)

outbox = sa.Table(
    "outbox",
    metadata,
    sa.Column("outbox_id", _BIG_ID, primary_key=True, autoincrement=True),
    sa.Column("workspace_id", sa.ForeignKey("workspaces.workspace_id"), nullable=False),
    # what the row is about; rows with the same subject are sent in order
    sa.Column("subject", sa.String(30), nullable=False),
    sa.Column("kind", sa.String(32), nullable=False),
    sa.Column("payload", sa.LargeBinary, nullable=False),
    sa.Column("create_time", UtcTime, nullable=False),
    sqlite_autoincrement=True,  # never gives a number twice, so that "done" can be said by number
)
