"""Add the number of cut answers to scores, and the table of validations."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Add the column, which is null for the scores of earlier versions, and the table."""
    with op.batch_alter_table("scores") as scores:
        scores.add_column(sa.Column("cut", sa.Integer))
    op.create_table(
        "validations",
        sa.Column("run", sa.String(64), nullable=False),
        sa.Column("position", sa.Integer, nullable=False),
        sa.Column("step", sa.Integer, nullable=False),
        sa.Column("final", sa.Boolean, nullable=False),
        sa.Column("epoch", sa.Integer, nullable=False),
        sa.Column("value", sa.Double, nullable=False),
        sa.Column("best", sa.Boolean, nullable=False),
        sa.Column("criterion", sa.String(64), nullable=False),
        sa.PrimaryKeyConstraint("run", "position", "step", "final", name=op.f("pk_validations")),
        sa.ForeignKeyConstraint(["run"], ["runs.id"], name=op.f("fk_validations_run"), ondelete="CASCADE"),
    )
