"""Where the small picture of a result lies."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Results made until now have none."""
    with op.batch_alter_table("assets") as table:
        table.add_column(sa.Column("thumbnail_key", sa.String(255), nullable=False, server_default=""))
    with op.batch_alter_table("assets") as table:
        table.alter_column("thumbnail_key", server_default=None)


def downgrade() -> None:
    """Forget them. The pictures stay in the store."""
    with op.batch_alter_table("assets") as table:
        table.drop_column("thumbnail_key")
