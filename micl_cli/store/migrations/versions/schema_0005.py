"""Add the number of cut answers to scores."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Add the column; it is null for the scores of earlier versions."""
    with op.batch_alter_table("scores") as scores:
        scores.add_column(sa.Column("cut", sa.Integer))
