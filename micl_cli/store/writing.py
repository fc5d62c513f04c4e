"""Events as rows. Writing an event again changes its row and adds none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import singledispatch
from math import isfinite
from typing import Any

from sqlalchemy import bindparam, delete, insert
from sqlalchemy.orm import Session

from micl_cli.api.events import Answered, Event, Routed, Scored, Step, TaskLearned, TaskStarted
from micl_cli.store import models

_ROUTED = ("after", "task", "split", "router", "n", "unsure", "seconds", "passes")
_UNLEARNT: Mapping[str, Any] = {"data_sha256": [], "steps": 0, "seconds": 0.0, "peak_bytes": 0, "stored_bytes": 0}


def apply_events(session: Session, run: str, events: Sequence[Event]) -> None:
    """Write what the store keeps of ``events``; it keeps nothing of those it does not know."""
    _write_steps(session, run, [event for event in events if isinstance(event, Step)])
    for event in events:
        _apply(event, session, run)


@singledispatch
def _apply(event: Event, session: Session, run: str) -> None:
    """Write one event of run ``run``; others than those below leave no row here."""


@_apply.register
def _(event: TaskStarted, session: Session, run: str) -> None:
    counts = {"examples": event.examples, "trainable_parameters": event.trainable_parameters}
    stage = session.get(models.Stage, (run, event.position))
    if stage is None:
        session.add(_stage(run, event, status="running", checkpoint="", **_UNLEARNT, **counts))
    else:
        stage.status, stage.tasks = "running", event.tasks


@_apply.register
def _(event: TaskLearned, session: Session, run: str) -> None:
    session.merge(
        _stage(
            run,
            event,
            status="learned",
            data_sha256=event.data_sha256,
            steps=event.steps,
            examples=event.examples,
            seconds=event.seconds,
            peak_bytes=event.peak_bytes,
            trainable_parameters=event.trainable_parameters,
            stored_bytes=event.stored_bytes,
            checkpoint=event.checkpoint,
        )
    )


def _stage(run: str, event: TaskStarted | TaskLearned, **columns: Any) -> models.Stage:
    return models.Stage(run=run, position=event.position, tasks=event.tasks, **columns)


@_apply.register
def _(event: Scored, session: Session, run: str) -> None:
    session.merge(
        models.Score(
            run=run,
            after=event.after,
            task=event.task,
            metric=event.metric,
            split=event.split,
            value=_finite(event.value),
            n=event.n,
            main=event.main,
        )
    )


@_apply.register
def _(event: Routed, session: Session, run: str) -> None:
    known = {name: getattr(event, name) for name in _ROUTED}
    session.merge(models.Routing(run=run, chosen=dict(event.chosen), **known))


@_apply.register
def _(event: Answered, session: Session, run: str) -> None:
    write_predictions(session, run, event.after, event.task, event.split, event.rows)


def write_predictions(
    session: Session, run: str, after: int, task: str, split: str, rows: Sequence[tuple[str, str, Sequence[str]]]
) -> None:
    """Keep ``rows`` of (example, answer, references) in the place of former ones."""
    where = {"run": run, "after": after, "task": task, "split": split}
    session.execute(delete(models.Prediction).filter_by(**where))
    session.add_all(
        models.Prediction(**where, number=number, example=example, answer=answer, references=list(references))
        for number, (example, answer, references) in enumerate(rows)
    )


def _write_steps(session: Session, run: str, steps: Sequence[Step]) -> None:
    # At once instead of one by one: there are thousands, and they share the processor with learning.
    rows = {(event.position, event.step): _step(run, event) for event in steps}
    if rows:
        table = models.Step
        same = (table.run == run, table.position == bindparam("at"), table.step == bindparam("number"))
        connection = session.connection()
        connection.execute(delete(table).where(*same), [{"at": at, "number": number} for at, number in rows])
        connection.execute(insert(table), list(rows.values()))


def _step(run: str, event: Step) -> dict[str, Any]:
    return {
        "run": run,
        "position": event.position,
        "step": event.step,
        "epoch": event.epoch,
        "loss": _finite(event.loss),
        "lr": event.lr,
        "seconds": event.seconds,
        "parts": {name: _finite(value) for name, value in event.parts.items()},
    }


def _finite(value: float) -> float | None:
    # Neither SQLite nor JSON has NaN, and some servers have no infinity.
    return value if isfinite(value) else None
