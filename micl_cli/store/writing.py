"""Writing of events as rows. Writing an event again updates its row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime, timezone
from functools import singledispatch
from math import isfinite
from typing import Any

from sqlalchemy import bindparam, delete, insert, select
from sqlalchemy.orm import Session

from micl_cli.api.events import Answered, Event, Routed, Scored, Step, TaskLearned, TaskStarted, Validated
from micl_cli.errors import StoreError
from micl_cli.records import EnvironmentRecord, PredictionRecord
from micl_cli.store import models, queries

_UNLEARNT: Mapping[str, Any] = {"data_sha256": [], "steps": 0, "seconds": 0.0, "peak_bytes": 0, "stored_bytes": 0}


def utc_now() -> str:
    """Return the current time as records have it."""
    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def apply_events(session: Session, run: str, events: Sequence[Event]) -> None:
    """Write ``events`` of a run; events without a table are ignored."""
    _write_steps(session, run, [event for event in events if isinstance(event, Step)])
    for event in events:
        _apply(event, session, run)


@singledispatch
def _apply(event: Event, session: Session, run: str) -> None:
    """Write one event of a run; types that are not registered below have no row."""


@_apply.register
def _(event: TaskStarted, session: Session, run: str) -> None:
    stage = session.get(models.Stage, (run, event.position))
    if stage is None:
        columns = _columns(models.Stage, run, event, status="running", checkpoint="", **_UNLEARNT)
        session.add(models.Stage(**columns))
    else:
        stage.status, stage.tasks = "running", event.tasks


@_apply.register
def _(event: TaskLearned, session: Session, run: str) -> None:
    session.merge(models.Stage(**_columns(models.Stage, run, event, status="learned")))


@_apply.register
def _(event: Scored, session: Session, run: str) -> None:
    figures = {name: _finite(value) for name, value in event.figures.items()}
    session.merge(models.Score(**_columns(models.Score, run, event, value=_finite(event.value), figures=figures)))


@_apply.register
def _(event: Validated, session: Session, run: str) -> None:
    session.merge(models.Validation(**_columns(models.Validation, run, event)))


@_apply.register
def _(event: Routed, session: Session, run: str) -> None:
    session.merge(models.Routing(**_columns(models.Routing, run, event)))


@_apply.register
def _(event: Answered, session: Session, run: str) -> None:
    scores, missing = event.scores or [None] * len(event.rows), set(event.missing)
    rows = [
        PredictionRecord(*row, score=_finite(value), missing=row[0] in missing)
        for row, value in zip(event.rows, scores, strict=True)
    ]
    write_predictions(session, run, event.after, event.task, event.split, rows)


def write_environment(session: Session, run: str, record: EnvironmentRecord) -> None:
    """Write the environment in which a run is continued or scored, unless it equals the one before.

    Environments of steps that are learnt again from here on are deleted, and so are damaged ones.
    """
    table = models.Environment
    rows = session.scalars(select(table).filter_by(run=run).order_by(table.number)).all()
    kept = [row for row in rows if not _is_replaced(row, record)]
    for row in rows:
        if row not in kept:
            session.delete(row)
    session.flush()
    before = [row for row in kept if record.purpose == "scoring" or row.purpose == "learning"]
    if not before or before[-1].environment != record.environment:
        number = 1 + max((row.number for row in kept), default=0)
        session.add(table(**{**asdict(record), "run": run, "number": number}))


def _is_replaced(row: models.Environment, record: EnvironmentRecord) -> bool:
    try:
        known = queries.record(EnvironmentRecord, row)
    except StoreError:
        return True
    repeated = (known.position, known.step) >= (record.position, record.step)
    return repeated and known.purpose == record.purpose == "learning"


def write_predictions(
    session: Session, run: str, after: int, task: str, split: str, rows: Sequence[PredictionRecord]
) -> None:
    """Write ``rows`` in place of earlier ones."""
    where = {"run": run, "after": after, "task": task, "split": split}
    session.execute(delete(models.Prediction).filter_by(**where))
    if rows:
        nul = "\0" if session.get_bind().dialect.name == "sqlite" else "\N{REPLACEMENT CHARACTER}"
        session.execute(
            insert(models.Prediction),
            [{**where, "number": number, **_prediction(row, nul)} for number, row in enumerate(rows)],
        )


def _prediction(row: PredictionRecord, nul: str) -> dict[str, Any]:
    """Return the columns of an answer, without characters that a database rejects, such as a lone surrogate."""
    texts = {
        name: text.encode(errors="backslashreplace").decode().replace("\0", nul)
        for name, text in (("example", row.example), ("answer", row.answer))
    }
    return {**row._asdict(), **texts, "references": list(row.references)}


def _write_steps(session: Session, run: str, steps: Sequence[Step]) -> None:
    # In bulk, since there are thousands and writing them one by one slows learning.
    rows = {(event.position, event.step): _step(run, event) for event in steps}
    if rows:
        table = models.Step
        same_step = (table.run == run, table.position == bindparam("at"), table.step == bindparam("number"))
        connection = session.connection()
        connection.execute(delete(table).where(*same_step), [{"at": at, "number": number} for at, number in rows])
        connection.execute(insert(table), list(rows.values()))


def _step(run: str, event: Step) -> dict[str, Any]:
    terms = {name: _finite(value) for name, value in event.terms.items()}
    return _columns(models.Step, run, event, loss=_finite(event.loss), terms=terms)


def _columns(table: type[models.Base], run: str, event: Event, **more: Any) -> dict[str, Any]:
    """Return the columns of a row: the fields of ``event`` that are columns of ``table``, and ``more``."""
    names = [column.name for column in table.__table__.columns]
    fields = {name: getattr(event, name) for name in names if hasattr(event, name)}
    return {"run": run, **fields, **more}


def _finite(value: float | None) -> float | None:
    # Neither SQLite nor JSON has NaN, and some servers have no infinity.
    return value if value is not None and isfinite(value) else None
