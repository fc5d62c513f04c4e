"""Queries: read rows as records, and find runs by id, prefix or name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import Any, TypeVar

from sqlalchemy import select
from sqlalchemy.orm import Session

from micl_cli.errors import StoreError, UsageError, nearest
from micl_cli.records import (
    PluginRecord,
    PredictionRecord,
    RoutingRecord,
    RunDetails,
    RunRecord,
    ScoreRecord,
    StageRecord,
    StepRecord,
)
from micl_cli.store import models

LAST = "@last"

_R = TypeVar("_R")


def record(cls: type[_R], row: models.Base) -> _R:
    """Return the record whose fields are the columns of ``row``; lists become tuples."""
    values = {field.name: getattr(row, field.name) for field in fields(cls)}  # type: ignore[arg-type]
    return cls(**{name: tuple(value) if isinstance(value, list) else value for name, value in values.items()})


def newest_first() -> Any:
    """Return the query for all runs, the most recently started first."""
    return select(models.Run).order_by(models.Run.turn.desc(), models.Run.started.desc(), models.Run.id)


def existing_run(session: Session, run: str) -> models.Run:
    """Return the row of a run. Raises StoreError if there is none."""
    row = session.get(models.Run, run)
    if row is None:
        raise StoreError(f"run {run} is not in the store", "It may have been deleted in the meantime; see `micl runs`.")
    return row


def run_details(session: Session, run: str) -> RunDetails:
    """Return a run with its plugins, stages, scores and routings. Raises StoreError if it does not exist."""
    plugin, stage, score, routing = models.RunPlugin, models.Stage, models.Score, models.Routing
    plugins = select(plugin).order_by(plugin.kind, plugin.name)
    stages = select(stage).order_by(stage.position)
    scores = select(score).order_by(score.after, score.task, score.main.desc(), score.metric, score.split)
    routings = select(routing).order_by(routing.after, routing.task, routing.split)
    return RunDetails(
        run=record(RunRecord, existing_run(session, run)),
        plugins=_records(PluginRecord, session, plugins, run),
        stages=_records(StageRecord, session, stages, run),
        scores=_records(ScoreRecord, session, scores, run),
        routings=_records(RoutingRecord, session, routings, run),
    )


def steps(session: Session, run: str) -> tuple[StepRecord, ...]:
    """Return the optimiser steps of a run, in order."""
    return _records(StepRecord, session, select(models.Step).order_by(models.Step.position, models.Step.step), run)


def predictions(session: Session, run: str, after: int, task: str, split: str) -> tuple[PredictionRecord, ...]:
    """Return the stored answers to a split of a task after a stage, in the order of the manifest."""
    table = models.Prediction
    query = select(table).filter_by(run=run, after=after, task=task, split=split).order_by(table.number)
    rows = session.scalars(query).all()
    return tuple(PredictionRecord(row.example, row.answer, tuple(row.references)) for row in rows)


def match_run(text: str, known: Sequence[tuple[str, str]]) -> str:
    """Return the id of the run that ``text`` refers to among ``known`` (id, name), which are sorted newest first.

    ``text`` is "@last", an id, a unique prefix of an id, or a name. Raises UsageError if no or several runs match.
    """
    if text == LAST:
        return known[0][0]
    matches = [(run, name) for run, name in known if text and (run.startswith(text) or name == text)]
    exact = [run for run, _ in matches if run == text]
    if len(matches) == 1 or exact:
        return exact[0] if exact else matches[0][0]
    if not matches:
        words = {word for pair in known for word in pair if word}
        hint = f"{nearest(text, words)} `micl runs` lists them; @last is the latest.".strip()
        raise UsageError(f"no run {text!r}", hint)
    shown = ", ".join(f"{run} ({name})" if name else run for run, name in matches[:5])
    more = f" and {len(matches) - 5} more" if len(matches) > 5 else ""
    raise UsageError(f"{text!r} matches {len(matches)} runs", f"Give more of the id: {shown}{more}.")


def _records(cls: type[_R], session: Session, query: Any, run: str) -> tuple[_R, ...]:
    return tuple(record(cls, row) for row in session.scalars(query.filter_by(run=run)))
