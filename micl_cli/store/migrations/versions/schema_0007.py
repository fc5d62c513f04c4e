"""Add the recipe of a run, and the table of the environments in which it was learnt and scored."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Add the column and the table. Of earlier runs, one environment is known: that of their latest start."""
    with op.batch_alter_table("runs") as altered:
        altered.add_column(sa.Column("recipe", sa.JSON))
    environments = op.create_table(
        "environments",
        sa.Column("run", sa.String(64), nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("purpose", sa.String(64), nullable=False),
        sa.Column("position", sa.Integer, nullable=False),
        sa.Column("step", sa.Integer, nullable=False),
        sa.Column("started", sa.String(32), nullable=False),
        sa.Column("environment", sa.JSON, nullable=False),
        sa.PrimaryKeyConstraint("run", "number", name=op.f("pk_environments")),
        sa.ForeignKeyConstraint(["run"], ["runs.id"], name=op.f("fk_environments_run"), ondelete="CASCADE"),
    )
    runs = sa.table("runs", sa.column("id"), sa.column("started"), sa.column("environment"))
    known = sa.select(
        runs.c.id,
        sa.literal(1),
        sa.literal("learning"),
        sa.literal(1),
        sa.literal(0),
        runs.c.started,
        runs.c.environment,
    ).where(runs.c.id.is_not(None), runs.c.started.is_not(None), runs.c.environment.is_not(None))
    columns = ["run", "number", "purpose", "position", "step", "started", "environment"]
    op.get_bind().execute(sa.insert(environments).from_select(columns, known))
