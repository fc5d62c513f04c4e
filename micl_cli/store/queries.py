"""Queries: read rows as records, and find runs by id, prefix or name."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import fields, is_dataclass
from typing import Any, TypeVar

from sqlalchemy import case, func, select
from sqlalchemy.orm import Session

from micl_cli.errors import StoreError, UsageError, nearest
from micl_cli.records import (
    EnvironmentRecord,
    PluginRecord,
    PredictionRecord,
    PredictionSet,
    RoutingRecord,
    RunDetails,
    RunRecord,
    ScoreRecord,
    StageRecord,
    StepRecord,
    ValidationRecord,
)
from micl_cli.store import models, validation

LAST = "@last"
_LAST_TURN = 2**31 - 2
_FEW_RUNS = 500
"""The number of ids that a query can name; databases limit it."""

_R = TypeVar("_R")


def record(cls: type[_R], row: models.Base) -> _R:
    """Return the record whose fields are the columns of ``row``; lists become tuples. Raises StoreError if damaged."""
    values = _values(cls, row)
    if problem := next(validation.problems(cls, values), ""):
        raise _damaged(row, problem)
    return cls(**{name: tuple(value) if isinstance(value, list) else value for name, value in values.items()})


def run_record(row: models.Run) -> RunRecord:
    """Return the record of a run. If its row is damaged, so is its status, and ``error`` says what is wrong."""
    values = _values(RunRecord, row)
    problem = next(validation.problems(RunRecord, values), "")
    if not problem:
        return RunRecord(**{**values, "tags": tuple(values["tags"])})
    texts: dict[str, Any] = {name: str(values[name] or "") for name in ("id", "name", "started", "finished")}
    return RunRecord(**texts, parent=None, plan={}, environment={}, status=validation.DAMAGED, error=problem)


def newest_first() -> Any:
    """Return the query for all runs, the most recently started first; a damaged number of the start counts as 0."""
    turn = case((models.Run.turn.between(0, _LAST_TURN), models.Run.turn), else_=0)
    return select(models.Run).order_by(turn.desc(), models.Run.started.desc(), models.Run.id)


def last_turn() -> Any:
    """Return the query for the number of the latest start."""
    return select(func.max(models.Run.turn)).where(models.Run.turn.between(0, _LAST_TURN))


def damaged_run(run: str, problem: str) -> StoreError:
    """Return the error for a run whose row, or the row of a stage or score, is damaged."""
    return StoreError(
        f"run {run} is damaged in the store: {problem}",
        f"Learn it again by its own command, or remove it: micl runs rm {run}. `micl store check` lists all damage.",
    )


def existing_run(session: Session, run: str) -> models.Run:
    """Return the row of a run. Raises StoreError if there is none."""
    row = session.get(models.Run, run)
    if row is None:
        raise StoreError(f"run {run} is not in the store", "It may have been deleted in the meantime; see `micl runs`.")
    return row


def refuse_parent(session: Session, run: str, force: bool) -> None:
    """Raise StoreError if other runs continue a run, unless ``force`` is set."""
    children = session.scalars(select(models.Run.id).where(models.Run.parent == run)).all()
    if children and not force:
        hint = f"Delete {', '.join(children)} first, or use --force."
        raise StoreError(f"run {run} cannot be deleted: other runs continue it", hint)


def run_details(session: Session, run: str) -> RunDetails:
    """Return a run with its rows of all tables but steps and predictions. Raises StoreError if it does not exist."""
    plugin, stage, score, routing = models.RunPlugin, models.Stage, models.Score, models.Routing
    plugins = select(plugin).order_by(plugin.kind, plugin.name)
    stages = select(stage).order_by(stage.position)
    scores = select(score).order_by(score.after, score.task, score.main.desc(), score.metric, score.split)
    routings = select(routing).order_by(routing.after, routing.task, routing.split)
    validated = models.Validation
    validations = select(validated).order_by(validated.position, validated.step, validated.final)
    environments = select(models.Environment).order_by(models.Environment.number)
    row = run_record(existing_run(session, run))
    if row.status == validation.DAMAGED:
        raise damaged_run(run, row.error)
    return RunDetails(
        run=row,
        plugins=_records(PluginRecord, session, plugins, run),
        stages=_records(StageRecord, session, stages, run),
        scores=_records(ScoreRecord, session, scores, run),
        routings=_records(RoutingRecord, session, routings, run),
        validations=_records(ValidationRecord, session, validations, run),
        environments=_records(EnvironmentRecord, session, environments, run),
    )


def results(session: Session, runs: Sequence[RunRecord]) -> dict[str, RunDetails]:
    """Return runs by id with their stages and the scores by the tasks' own metrics only.

    Runs with a damaged stage or score are left out.
    """
    ids, stage, score = [run.id for run in runs], models.Stage, models.Score
    stages = _by_run(session, select(stage).order_by(stage.position), stage.run, ids)
    scores = _by_run(session, select(score).filter_by(main=True), score.run, ids)
    found = {}
    for run in runs:
        with suppress(StoreError):
            own = tuple(record(StageRecord, row) for row in stages[run.id])
            scored = tuple(record(ScoreRecord, row) for row in scores[run.id])
            found[run.id] = RunDetails(run=run, plugins=(), stages=own, scores=scored)
    return found


def steps(session: Session, run: str, last: int | None = None) -> tuple[StepRecord, ...]:
    """Return the optimiser steps of a run, or the ``last`` of them, in order."""
    query = select(models.Step).filter_by(run=run).order_by(models.Step.position.desc(), models.Step.step.desc())
    return tuple(record(StepRecord, row) for row in session.scalars(query.limit(last)))[::-1]


def predictions(
    session: Session, run: str, after: int, task: str, split: str, limit: int | None = None
) -> tuple[PredictionRecord, ...]:
    """Return the stored answers to a split of a task after a stage, at most ``limit``, in the order of the manifest."""
    table = models.Prediction
    query = select(table).filter_by(run=run, after=after, task=task, split=split).order_by(table.number).limit(limit)
    return tuple(record(PredictionRecord, row) for row in session.scalars(query).all())


def prediction_sets(session: Session, run: str) -> tuple[PredictionSet, ...]:
    """Return the sets of stored answers of a run, by stage, task and split."""
    table = models.Prediction
    key = table.after, table.task, table.split
    query = select(*key, func.count()).where(table.run == run).group_by(*key).order_by(*key)
    return tuple(PredictionSet(*row) for row in session.execute(query))


def without_predictions(session: Session, run: str) -> list[int]:
    """Return the stages after which a task was scored without storing the answers."""
    score, answer = models.Score, models.Prediction
    stored = select(answer.run).where(
        answer.run == score.run, answer.after == score.after, answer.task == score.task, answer.split == score.split
    )
    query = select(score.after).where(score.run == run, ~stored.exists()).distinct().order_by(score.after)
    return list(session.scalars(query))


def match_run(text: str, known: Sequence[tuple[str, str]]) -> str:
    """Return the id of the run that ``text`` refers to among ``known`` (id, name), which are sorted newest first.

    ``text`` is "@last", an id, a name, or a unique prefix of an id; the first of these that fits is meant. Raises
    UsageError if no or several runs match.
    """
    if text == LAST:
        return known[0][0]
    matches = (
        [(run, name) for run, name in known if text and run == text]
        or [(run, name) for run, name in known if text and name == text]
        or [(run, name) for run, name in known if text and run.startswith(text)]
    )
    if len(matches) == 1:
        return matches[0][0]
    if not matches:
        words = {word for pair in known for word in pair if word}
        hint = f"{nearest(text, words)} `micl runs` lists them; @last is the latest.".strip()
        raise UsageError(f"no run {text!r}", hint)
    shown = ", ".join(f"{run} ({name})" if name else run for run, name in matches[:5])
    more = f" and {len(matches) - 5} more" if len(matches) > 5 else ""
    raise UsageError(f"{text!r} matches {len(matches)} runs", f"Give more of the id: {shown}{more}.")


def _by_run(session: Session, query: Any, column: Any, runs: Sequence[str]) -> dict[str, list[Any]]:
    """Return the rows of a query by run, whose id is in ``column``. Only a few runs are selected by the database."""
    found: dict[str, list[Any]] = {run: [] for run in runs}
    for row in session.scalars(query.where(column.in_(runs)) if len(runs) <= _FEW_RUNS else query):
        if (run := getattr(row, column.key)) in found:
            found[run].append(row)
    return found


def _values(cls: type[Any], row: models.Base) -> dict[str, Any]:
    names = [field.name for field in fields(cls)] if is_dataclass(cls) else list(cls._fields)
    return {name: getattr(row, name) for name in names}


def _damaged(row: models.Base, problem: str) -> StoreError:
    if isinstance(row, models.Task):
        hint = "Prepare the task again; `micl store check` lists all damage."
        return StoreError(f"task {row.name} is damaged in the store: {problem}", hint)
    return damaged_run(str(getattr(row, "run", "")), f"a row of {row.__tablename__}: {problem}")


def _records(cls: type[_R], session: Session, query: Any, run: str) -> tuple[_R, ...]:
    return tuple(record(cls, row) for row in session.scalars(query.filter_by(run=run)))
