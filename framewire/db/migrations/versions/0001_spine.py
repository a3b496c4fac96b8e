"""The spine: workspaces, assets, jobs with their inputs, and the outbox.

Written out in full, not made from tables.py: a migration must do tomorrow what it did today.
"""

from __future__ import annotations

from datetime import UTC, datetime

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_TIME = sa.DateTime(timezone=True)
_WORKSPACE = "workspaces.workspace_id"


def upgrade() -> None:
    """Create the tables and the workspace every anonymous call belongs to."""
    workspaces = op.create_table(
        "workspaces",
        sa.Column("workspace_id", sa.String(64), nullable=False),
        sa.Column("create_time", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("workspace_id", name="pk_workspaces"),
    )
    op.bulk_insert(workspaces, [{"workspace_id": "default", "create_time": datetime.now(UTC)}])
    _create_assets()
    _create_jobs()
    _create_job_inputs()
    _create_outbox()


def downgrade() -> None:
    """Drop everything."""
    for table in ("outbox", "job_inputs", "jobs", "assets", "workspaces"):
        op.drop_table(table)


def _create_assets() -> None:
    op.create_table(
        "assets",
        sa.Column("asset_id", sa.String(30), nullable=False),
        sa.Column("workspace_id", sa.String(64), nullable=False),
        sa.Column("filename", sa.String(255), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("size_bytes", sa.BigInteger, nullable=False),
        sa.Column("declared_sha256", sa.String(64), nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("object_key", sa.String(255), nullable=False),
        sa.Column("source_job_id", sa.String(30), nullable=False),
        sa.Column("media", sa.LargeBinary, nullable=True),
        sa.Column("create_time", _TIME, nullable=False),
        sa.Column("expire_time", _TIME, nullable=True),
        sa.PrimaryKeyConstraint("asset_id", name="pk_assets"),
        sa.ForeignKeyConstraint(["workspace_id"], [_WORKSPACE], name="fk_assets_workspace_id_workspaces"),
    )
    op.create_index("ix_assets_workspace_id_asset_id", "assets", ["workspace_id", "asset_id"])


def _create_jobs() -> None:
    op.create_table(
        "jobs",
        sa.Column("job_id", sa.String(30), nullable=False),
        sa.Column("workspace_id", sa.String(64), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("job_order", sa.LargeBinary, nullable=False),
        sa.Column("idempotency_key", sa.String(128), nullable=True),
        sa.Column("fingerprint", sa.String(64), nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("worker", sa.String(255), nullable=False),
        sa.Column("progress", sa.LargeBinary, nullable=True),
        sa.Column("fidelity", sa.LargeBinary, nullable=True),
        sa.Column("output_asset_ids", sa.JSON, nullable=False),
        sa.Column("error_code", sa.String(64), nullable=False),
        sa.Column("error_message", sa.Text, nullable=False),
        sa.Column("cancel_requested", sa.Boolean, nullable=False),
        sa.Column("last_event", sa.BigInteger, nullable=False),
        sa.Column("create_time", _TIME, nullable=False),
        sa.Column("start_time", _TIME, nullable=True),
        sa.Column("end_time", _TIME, nullable=True),
        sa.PrimaryKeyConstraint("job_id", name="pk_jobs"),
        sa.ForeignKeyConstraint(["workspace_id"], [_WORKSPACE], name="fk_jobs_workspace_id_workspaces"),
        sa.UniqueConstraint("workspace_id", "idempotency_key", name="uq_jobs_workspace_id_idempotency_key"),
    )
    op.create_index("ix_jobs_workspace_id_job_id", "jobs", ["workspace_id", "job_id"])
    op.create_index("ix_jobs_workspace_id_state_job_id", "jobs", ["workspace_id", "state", "job_id"])


def _create_job_inputs() -> None:
    op.create_table(
        "job_inputs",
        sa.Column("job_id", sa.String(30), nullable=False),
        sa.Column("position", sa.Integer, nullable=False),
        sa.Column("workspace_id", sa.String(64), nullable=False),
        sa.Column("asset_id", sa.String(30), nullable=False),
        sa.PrimaryKeyConstraint("job_id", "position", name="pk_job_inputs"),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.job_id"], name="fk_job_inputs_job_id_jobs", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["workspace_id"], [_WORKSPACE], name="fk_job_inputs_workspace_id_workspaces"),
    )
    op.create_index("ix_job_inputs_asset_id", "job_inputs", ["asset_id"])


def _create_outbox() -> None:
    op.create_table(
        "outbox",
        sa.Column(
            "outbox_id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            primary_key=True,
            autoincrement=True,
        ),
        sa.Column("workspace_id", sa.String(64), nullable=False),
        sa.Column("subject", sa.String(30), nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("payload", sa.LargeBinary, nullable=False),
        sa.Column("create_time", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("outbox_id", name="pk_outbox"),
        sa.ForeignKeyConstraint(["workspace_id"], [_WORKSPACE], name="fk_outbox_workspace_id_workspaces"),
        sqlite_autoincrement=True,
    )
