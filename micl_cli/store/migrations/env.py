"""The Alembic environment: run migrations on the connection, and in the transaction, of ``schema.migrate``."""

from __future__ import annotations

from alembic import context

from micl_cli.store.models import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
