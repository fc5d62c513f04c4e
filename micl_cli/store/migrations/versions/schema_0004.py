"""Add types and modalities of tasks, loss terms of steps, the time of passes around learning, and leases."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Rename and add the columns, and move claims to leases."""
    _tasks()
    _steps()
    _stages()
    _leases()


def _tasks() -> None:
    with op.batch_alter_table("tasks") as tasks:
        tasks.alter_column("kind", new_column_name="type", existing_type=sa.String(64), existing_nullable=False)
        tasks.add_column(sa.Column("modalities", sa.JSON))
    table = sa.table("tasks", sa.column("modality", sa.String), sa.column("modalities", sa.JSON))
    connection = op.get_bind()
    for modality in connection.scalars(sa.select(table.c.modality).distinct()).all():
        values = {"modalities": [modality] if modality else []}
        connection.execute(sa.update(table).where(table.c.modality == modality).values(values))
    with op.batch_alter_table("tasks") as tasks:
        tasks.alter_column("modalities", existing_type=sa.JSON(), nullable=False)
        tasks.drop_column("modality")


def _steps() -> None:
    with op.batch_alter_table("steps") as steps:
        steps.alter_column("parts", new_column_name="terms", existing_type=sa.JSON(), existing_nullable=False)


def _stages() -> None:
    with op.batch_alter_table("stages") as stages:
        stages.add_column(sa.Column("before_seconds", sa.Double, nullable=False, server_default=sa.text("0")))
        stages.add_column(sa.Column("after_seconds", sa.Double, nullable=False, server_default=sa.text("0")))


def _leases() -> None:
    leases = op.create_table(
        "leases",
        sa.Column("run", sa.String(64), nullable=False),
        sa.Column("holder", sa.Text, nullable=False),
        sa.Column("until", sa.Double, nullable=False),
        sa.PrimaryKeyConstraint("run", name=op.f("pk_leases")),
    )
    claims: sa.Select[Any] = sa.select(sa.table("claims", *(sa.column(name) for name in ("run", "holder", "until"))))
    op.get_bind().execute(sa.insert(leases).from_select(["run", "holder", "until"], claims))
    op.drop_table("claims")
