"""Add versions, variants, missing answers and further figures to scores; add scores to predictions of any id."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Add the columns. Of earlier scores, the version is null, and nothing was missing."""
    with op.batch_alter_table("scores") as scores:
        scores.add_column(sa.Column("version", sa.Integer))
        scores.add_column(sa.Column("prompts", sa.String(64), nullable=False, server_default=""))
        scores.add_column(sa.Column("scorer", sa.String(64), nullable=False, server_default=""))
        scores.add_column(sa.Column("missing", sa.Integer, nullable=False, server_default=sa.text("0")))
        scores.add_column(sa.Column("figures", sa.JSON))
    table = sa.table("scores", sa.column("figures", sa.JSON))
    op.get_bind().execute(sa.update(table).values(figures={}))
    # MySQL has no defaults for JSON: the column can only be required once every row has a value.
    with op.batch_alter_table("scores") as scores:
        scores.alter_column("figures", existing_type=sa.JSON(), nullable=False)
    with op.batch_alter_table("predictions") as predictions:
        predictions.alter_column("example", type_=sa.Text, existing_type=sa.String(255), existing_nullable=False)
        predictions.add_column(sa.Column("score", sa.Double))
        predictions.add_column(sa.Column("missing", sa.Boolean, nullable=False, server_default=sa.false()))
