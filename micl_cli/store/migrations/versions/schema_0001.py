"""Create the tables of runs, plugins, stages, scores, steps, predictions and tasks."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create every table."""
    _runs()
    _tasks()
    _stages()
    _scores()
    _steps()
    _predictions()


def _runs() -> None:
    op.create_table(
        "runs",
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("parent", sa.String(64)),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("plan", sa.JSON, nullable=False),
        sa.Column("environment", sa.JSON, nullable=False),
        sa.Column("status", sa.String(64), nullable=False),
        sa.Column("started", sa.String(32), nullable=False),
        sa.Column("finished", sa.String(32), nullable=False),
        sa.Column("error", sa.Text, nullable=False),
        sa.Column("turn", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_runs")),
    )
    op.create_index(op.f("ix_runs_parent"), "runs", ["parent"])
    op.create_index(op.f("ix_runs_turn"), "runs", ["turn"])
    op.create_table(
        "run_plugins",
        _run(),
        sa.Column("kind", sa.String(64), nullable=False),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("distribution", sa.String(255), nullable=False),
        sa.Column("version", sa.String(64), nullable=False),
        *_owned("run_plugins", "kind", "name"),
    )


def _tasks() -> None:
    op.create_table(
        "tasks",
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("modality", sa.String(64), nullable=False),
        sa.Column("kind", sa.String(64), nullable=False),
        sa.Column("metric", sa.String(64), nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("counts", sa.JSON, nullable=False),
        sa.Column("path", sa.Text, nullable=False),
        sa.Column("prepared", sa.String(32), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_tasks")),
    )


def _stages() -> None:
    op.create_table(
        "stages",
        _run(),
        sa.Column("position", sa.Integer, nullable=False),
        sa.Column("tasks", sa.JSON, nullable=False),
        sa.Column("data_sha256", sa.JSON, nullable=False),
        sa.Column("status", sa.String(64), nullable=False),
        sa.Column("steps", sa.Integer, nullable=False),
        sa.Column("examples", sa.Integer, nullable=False),
        sa.Column("seconds", sa.Double, nullable=False),
        sa.Column("peak_bytes", sa.BigInteger, nullable=False),
        sa.Column("trainable_parameters", sa.BigInteger, nullable=False),
        sa.Column("stored_bytes", sa.BigInteger, nullable=False),
        sa.Column("checkpoint", sa.Text, nullable=False),
        *_owned("stages", "position"),
    )


def _scores() -> None:
    op.create_table(
        "scores",
        _run(),
        sa.Column("after", sa.Integer, nullable=False),
        sa.Column("task", sa.String(255), nullable=False),
        sa.Column("metric", sa.String(64), nullable=False),
        sa.Column("split", sa.String(64), nullable=False),
        sa.Column("value", sa.Double),
        sa.Column("n", sa.Integer, nullable=False),
        sa.Column("main", sa.Boolean, nullable=False),
        *_owned("scores", "after", "task", "metric", "split"),
    )


def _steps() -> None:
    op.create_table(
        "steps",
        _run(),
        sa.Column("position", sa.Integer, nullable=False),
        sa.Column("step", sa.Integer, nullable=False),
        sa.Column("epoch", sa.Integer, nullable=False),
        sa.Column("loss", sa.Double),
        sa.Column("lr", sa.Double, nullable=False),
        sa.Column("seconds", sa.Double, nullable=False),
        sa.Column("parts", sa.JSON, nullable=False),
        *_owned("steps", "position", "step"),
    )


def _predictions() -> None:
    op.create_table(
        "predictions",
        _run(),
        sa.Column("after", sa.Integer, nullable=False),
        sa.Column("task", sa.String(255), nullable=False),
        sa.Column("split", sa.String(64), nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("example", sa.String(255), nullable=False),
        sa.Column("answer", sa.Text, nullable=False),
        sa.Column("references", sa.JSON, nullable=False),
        *_owned("predictions", "after", "task", "split", "number"),
    )


def _run() -> sa.Column[str]:
    return sa.Column("run", sa.String(64), nullable=False)


def _owned(table: str, *key: str) -> tuple[sa.PrimaryKeyConstraint, sa.ForeignKeyConstraint]:
    """Return the primary key of a table whose rows belong to a run and are deleted with it."""
    return (
        sa.PrimaryKeyConstraint("run", *key, name=op.f(f"pk_{table}")),
        sa.ForeignKeyConstraint(["run"], ["runs.id"], name=op.f(f"fk_{table}_run"), ondelete="CASCADE"),
    )
