"""Alembic's entry: runs on the connection, and in the transaction, that framewire/db/migrate.py hands over."""

from __future__ import annotations

from alembic import context

from framewire.db.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,  # SQLite changes a table by copying it
)
with context.begin_transaction():
    context.run_migrations()
