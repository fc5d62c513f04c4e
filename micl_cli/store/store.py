"""The run store: short transactions, several processes, plain records in and out."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, fields
from datetime import datetime, timezone
from types import TracebackType
from typing import Any, TypeVar

from sqlalchemy import Engine, delete, func, or_, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from micl_cli.api.events import Event
from micl_cli.errors import BusyError, StoreError, UsageError, nearest
from micl_cli.records import (
    NewRun,
    PluginRecord,
    PredictionRecord,
    RoutingRecord,
    RunDetails,
    RunRecord,
    ScoreRecord,
    StageRecord,
    StepRecord,
    TaskRecord,
)
from micl_cli.store import models, schema
from micl_cli.store.connect import connect, make_folder, parse_url, shown, use_wal, writing
from micl_cli.store.failures import reported
from micl_cli.store.writing import apply_events, write_predictions

ENDINGS = ("finished", "interrupted", "failed")
LAST = "@last"
LEASE = 120.0
"""Seconds that a claim to a run holds when nobody prolongs it; clocks of machines may differ by half of that."""

_R = TypeVar("_R")
_ROUTING = (models.Routing.after, models.Routing.task, models.Routing.split)


class Store:
    """The runs, tasks and figures of one database. Every method is one transaction of its own.

    All methods raise StoreError where the database fails; what was written before stays.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.location = shown(engine.url)

    @classmethod
    def open(cls, url: str) -> Store:
        """Open the store at a SQLAlchemy URL; an SQLite one is created or upgraded where need be.

        Raises StoreError where it cannot be opened, is newer than this program, or is a
        server's that `micl store upgrade` has to be run for.
        """
        parsed = parse_url(url)
        make_folder(parsed)
        engine = connect(parsed)
        try:
            with reported(shown(parsed)):
                schema.ensure(engine)
                if engine.dialect.name == "sqlite":
                    use_wal(engine)
        except BaseException:
            engine.dispose()
            raise
        return cls(engine)

    def close(self) -> None:
        """Give every connection back."""
        self.engine.dispose()

    def __enter__(self) -> Store:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    # Tasks

    def record_task(self, task: TaskRecord) -> None:
        """Keep what a task was prepared as; the former preparation is forgotten."""
        columns = {**asdict(task), "counts": dict(task.counts), "prepared": task.prepared or _now()}
        with self._writing() as session:
            session.merge(models.Task(**columns))

    def task(self, name: str) -> TaskRecord | None:
        """The prepared task of a full name."""
        with self._reading() as session:
            row = session.get(models.Task, name)
            return _record(TaskRecord, row) if row else None

    def tasks(self) -> list[TaskRecord]:
        """Every prepared task, by name."""
        with self._reading() as session:
            return [_record(TaskRecord, row) for row in session.scalars(select(models.Task).order_by(models.Task.name))]

    # Who works on a run

    def claim(self, run_id: str, holder: str, now: float | None = None) -> None:
        """Say that ``holder`` works on a run for the next LEASE seconds; said again it prolongs that.

        ``now`` is in seconds since the epoch. Raises BusyError where another holder's claim is not over.
        """
        try:
            self._claim(run_id, holder, time.time() if now is None else now)
        except StoreError as error:
            if not isinstance(error.__cause__, IntegrityError):
                raise
            self._claim(run_id, holder, time.time() if now is None else now)  # another came first: find its claim

    def _claim(self, run_id: str, holder: str, now: float) -> None:
        with self._writing() as session:
            row = session.get(models.Claim, run_id, with_for_update=True)
            if row is None:
                row = models.Claim(run=run_id)
                session.add(row)
            elif row.holder != holder and row.until > now:
                raise BusyError(
                    f"{row.holder} works on run {run_id}",
                    f"Wait for it; where that was killed, it can be taken over {LEASE:.0f} seconds later.",
                )
            row.holder, row.until = holder, now + LEASE

    def release(self, run_id: str, holder: str) -> None:
        """Give a claim back; another holder's stays."""
        with self._writing() as session:
            session.execute(delete(models.Claim).filter_by(run=run_id, holder=holder))

    def holder(self, run_id: str, now: float | None = None) -> str | None:
        """Whose claim to a run is not over."""
        with self._reading() as session:
            row = session.get(models.Claim, run_id)
            return row.holder if row and row.until > (time.time() if now is None else now) else None

    # Writing runs

    def start_run(self, run: NewRun) -> None:
        """Set a run to "running": a new row, or the one that is there, with its environment updated."""
        with self._writing() as session:
            row = session.get(models.Run, run.id)
            if row is None:
                row = models.Run(id=run.id, parent=run.parent, name=run.name, plan=dict(run.plan))
                session.add(row)
            row.name = run.name or row.name
            row.environment = dict(run.environment)
            row.status, row.started, row.finished, row.error = "running", _now(), "", ""
            with session.no_autoflush:
                row.turn = 1 + (session.scalar(select(func.max(models.Run.turn))) or 0)
            session.flush()
            session.execute(delete(models.RunPlugin).where(models.RunPlugin.run == run.id))
            session.add_all(models.RunPlugin(run=run.id, **asdict(plugin)) for plugin in run.plugins)

    def end_run(self, run_id: str, status: str, error: str = "") -> None:
        """Say how a run ended: "finished", "interrupted" or "failed". So did the stage it was in."""
        if status not in ENDINGS:
            raise ValueError(f"status {status!r} is none of {', '.join(ENDINGS)}")
        with self._writing(run_id) as session:
            row = _present(session.get(models.Run, run_id), run_id)
            row.status, row.finished, row.error = status, _now(), error
            if status != "finished":
                open_stages = models.Stage.run == run_id, models.Stage.status == "running"
                session.execute(update(models.Stage).where(*open_stages).values(status=status))

    def write(self, run_id: str, events: Sequence[Event]) -> None:
        """Keep ``events`` of a run, all or none; the same event again changes its row and adds none.

        Raises StoreError where the run is not there (any more).
        """
        if events:
            with self._writing(run_id) as session:
                apply_events(session, run_id, events)

    def write_predictions(
        self, run_id: str, after: int, task: str, split: str, rows: Sequence[tuple[str, str, Sequence[str]]]
    ) -> None:
        """Keep (example, answer, references) on a split of a task after stage ``after``; former ones go."""
        with self._writing(run_id) as session:
            write_predictions(session, run_id, after, task, split, rows)

    def discard_after(self, run_id: str, position: int, step: int) -> None:
        """Forget the steps beyond ``step`` of stage ``position``: a resumed run makes them again."""
        steps = models.Step
        later = or_(steps.position > position, (steps.position == position) & (steps.step > step))
        with self._writing() as session:
            session.execute(delete(steps).where(steps.run == run_id, later))

    def delete_run(self, run_id: str, *, force: bool = False) -> None:
        """Delete a run and all its rows. Raises StoreError where other runs go on from it, unless ``force``."""
        with self._writing() as session:
            row = _present(session.get(models.Run, run_id), run_id)
            heirs = session.scalars(select(models.Run.id).where(models.Run.parent == run_id)).all()
            if heirs and not force:
                hint = f"Delete {', '.join(heirs)} first, or force it."
                raise StoreError(f"run {run_id} cannot be deleted: other runs go on from it", hint)
            session.delete(row)

    # Reading runs

    def run(self, run_id: str) -> RunRecord | None:
        """The run of a full id."""
        with self._reading() as session:
            row = session.get(models.Run, run_id)
            return _record(RunRecord, row) if row else None

    def runs(self, limit: int | None = None) -> list[RunRecord]:
        """The runs, the most recently started first."""
        with self._reading() as session:
            return [_record(RunRecord, row) for row in session.scalars(_newest_first().limit(limit))]

    def resolve(self, text: str) -> str:
        """The id of the run that ``text`` means: "@last", an id, or the only id or name that fits.

        "@last" is the run started most recently; an id may be cut short. Raises UsageError
        where no run or several are meant.
        """
        with self._reading() as session:
            known = [(row.id, row.name) for row in session.scalars(_newest_first())]
        if not known:
            hint = "Start one: micl learn --strategy moincl --tasks img_cap,aud_qa"
            raise UsageError(f"no run {text!r}: {self.location} has no runs yet", hint)
        return known[0][0] if text == LAST else _meant(text, known)

    def details(self, run_id: str) -> RunDetails:
        """A run with its parts, stages, scores and routings. Raises StoreError where there is none of that id."""
        stage, score, part = models.Stage, models.Score, models.RunPlugin
        scores = select(score).order_by(score.after, score.task, score.main.desc(), score.metric, score.split)
        with self._reading() as session:
            return RunDetails(
                run=_record(RunRecord, _present(session.get(models.Run, run_id), run_id)),
                plugins=_records(PluginRecord, session, select(part).order_by(part.kind, part.name), run_id),
                stages=_records(StageRecord, session, select(stage).order_by(stage.position), run_id),
                scores=_records(ScoreRecord, session, scores, run_id),
                routings=_records(RoutingRecord, session, select(models.Routing).order_by(*_ROUTING), run_id),
            )

    def steps(self, run_id: str) -> tuple[StepRecord, ...]:
        """The series of optimiser steps of a run, in order."""
        query = select(models.Step).order_by(models.Step.position, models.Step.step)
        with self._reading() as session:
            return _records(StepRecord, session, query, run_id)

    def predictions(self, run_id: str, after: int, task: str, split: str) -> tuple[PredictionRecord, ...]:
        """The answers that were kept, in the order they were written."""
        table = models.Prediction
        query = select(table).filter_by(run=run_id, after=after, task=task, split=split).order_by(table.number)
        with self._reading() as session:
            rows = session.scalars(query).all()
            return tuple(PredictionRecord(row.example, row.answer, tuple(row.references)) for row in rows)

    # Transactions

    @contextmanager
    def _reading(self) -> Iterator[Session]:
        with reported(self.location), Session(self.engine) as session:
            yield session

    @contextmanager
    def _writing(self, run_id: str = "") -> Iterator[Session]:
        """A transaction; ``run_id`` is the run that its rows belong to."""
        try:
            with reported(self.location), Session(writing(self.engine)) as session, session.begin():
                yield session
        except StoreError as error:
            if run_id and isinstance(error.__cause__, IntegrityError):
                with self._reading() as session:
                    _present(session.get(models.Run, run_id), run_id)
            raise


def _meant(text: str, known: Sequence[tuple[str, str]]) -> str:
    fitting = [(run, name) for run, name in known if text and (run.startswith(text) or name == text)]
    exact = [run for run, _ in fitting if run == text]
    if len(fitting) == 1 or exact:
        return exact[0] if exact else fitting[0][0]
    if not fitting:
        words = {word for pair in known for word in pair if word}
        hint = f"{nearest(text, words)} `micl runs` lists them; @last is the latest.".strip()
        raise UsageError(f"no run {text!r}", hint)
    shown_runs = ", ".join(f"{run} ({name})" if name else run for run, name in fitting[:5])
    more = f" and {len(fitting) - 5} more" if len(fitting) > 5 else ""
    raise UsageError(f"{text!r} may mean {len(fitting)} runs", f"Write more of the id: {shown_runs}{more}.")


def _newest_first() -> Any:
    return select(models.Run).order_by(models.Run.turn.desc(), models.Run.started.desc(), models.Run.id)


def _present(row: models.Run | None, run_id: str) -> models.Run:
    if row is None:
        raise StoreError(f"run {run_id} is not in the store", "It may have been deleted meanwhile; see `micl runs`.")
    return row


def _records(kind: type[_R], session: Session, query: Any, run_id: str) -> tuple[_R, ...]:
    return tuple(_record(kind, row) for row in session.scalars(query.filter_by(run=run_id)))


def _record(kind: type[_R], row: models.Base) -> _R:
    """The record whose fields are columns of ``row``; lists become tuples."""
    values = {field.name: getattr(row, field.name) for field in fields(kind)}  # type: ignore[arg-type]
    return kind(**{name: tuple(value) if isinstance(value, list) else value for name, value in values.items()})


def _now() -> str:
    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
