"""Uploads in parts, and when what is kept expires."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_KEPT = timedelta(days=7)
_UPLOADING = timedelta(days=1)
_PART_SIZE = 8 << 20


def upgrade() -> None:
    """Assets made until now expire as if they were made now. Uploads under way were sent in one request."""
    op.create_table(
        "uploads",
        sa.Column("asset_id", sa.String(30), nullable=False),
        sa.Column("workspace_id", sa.String(64), nullable=False),
        sa.Column("part_size", sa.Integer(), nullable=False),
        sa.Column("multipart_id", sa.Text(), nullable=False),
        sa.Column("writer", sa.String(64), nullable=False),
        sa.Column("writer_until", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["asset_id"], ["assets.asset_id"], name="fk_uploads_asset_id_assets", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["workspace_id"], ["workspaces.workspace_id"], name="fk_uploads_workspace_id_workspaces"
        ),
        sa.PrimaryKeyConstraint("asset_id", name="pk_uploads"),
    )
    with op.batch_alter_table("jobs") as table:
        table.add_column(sa.Column("segments_gone", sa.Boolean(), nullable=False, server_default=sa.false()))
    with op.batch_alter_table("jobs") as table:
        table.alter_column("segments_gone", server_default=None)
    op.create_index("ix_jobs_state_segments_gone_end_time", "jobs", ["state", "segments_gone", "end_time"])
    op.create_index("ix_assets_expire_time", "assets", ["expire_time"])
    op.create_index("ix_assets_workspace_id_sha256", "assets", ["workspace_id", "sha256"])
    _give_what_is_there_an_end()


def _give_what_is_there_an_end() -> None:
    time = sa.DateTime(timezone=True)
    names = ("asset_id", "workspace_id", "state")
    assets = sa.table("assets", *(sa.column(name, sa.String) for name in names), sa.column("expire_time", time))
    for state, left in (("READY", _KEPT), ("UPLOADING", _UPLOADING)):
        old = assets.update().where(assets.c.expire_time.is_(None), assets.c.state == state)
        op.get_bind().execute(old.values(expire_time=datetime.now(UTC) + left))
    columns = ("asset_id", "workspace_id", "part_size", "multipart_id", "writer")
    uploads = sa.table("uploads", *(sa.column(name) for name in columns))
    rest = (sa.literal(_PART_SIZE), sa.literal(""), sa.literal(""))
    uploading = sa.select(assets.c.asset_id, assets.c.workspace_id, *rest).where(assets.c.state == "UPLOADING")
    op.get_bind().execute(uploads.insert().from_select(columns, uploading))


def downgrade() -> None:
    """Forget what was sent in parts. The parts stay in the store."""
    op.drop_index("ix_assets_workspace_id_sha256", "assets")
    op.drop_index("ix_assets_expire_time", "assets")
    op.drop_index("ix_jobs_state_segments_gone_end_time", "jobs")
    with op.batch_alter_table("jobs") as table:
        table.drop_column("segments_gone")
    op.drop_table("uploads")
