"""The run store: a database with an interface of plain records, safe for use by several processes."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime, timezone
from types import TracebackType

from sqlalchemy import Engine, delete, func, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from micl_cli.api.events import Event
from micl_cli.errors import StoreError, UsageError
from micl_cli.records import NewRun, PredictionRecord, RunDetails, RunRecord, StepRecord, TaskRecord
from micl_cli.store import leases, models, queries, schema
from micl_cli.store.connect import connect, make_folder, parse_url, shown, use_wal, writing
from micl_cli.store.failures import reported
from micl_cli.store.writing import apply_events, write_predictions

ENDINGS = ("finished", "interrupted", "failed")


class Store:
    """The runs, tasks and scores of one database. Every method is one transaction.

    All methods raise StoreError if the database fails; earlier writes are not affected.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.location = shown(engine.url)

    @classmethod
    def open(cls, url: str) -> Store:
        """Open the store at a SQLAlchemy URL. An SQLite store is created or upgraded if necessary.

        Raises StoreError if it cannot be opened, is newer than this program, or is a server
        store that needs `micl store upgrade`.
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
        """Close all connections."""
        self.engine.dispose()

    def __enter__(self) -> Store:
        return self

    def __exit__(self, cls: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    # Tasks

    def record_task(self, task: TaskRecord) -> None:
        """Write the record of a prepared task, in place of an earlier preparation."""
        values = {"modalities": list(task.modalities), "counts": dict(task.counts), "prepared": task.prepared or _now()}
        with self._writing() as session:
            session.merge(models.Task(**{**asdict(task), **values}))

    def task(self, name: str) -> TaskRecord | None:
        """Return the prepared task with a full name, or None."""
        with self._reading() as session:
            row = session.get(models.Task, name)
            return queries.record(TaskRecord, row) if row else None

    def tasks(self) -> list[TaskRecord]:
        """Return all prepared tasks, sorted by name."""
        with self._reading() as session:
            rows = session.scalars(select(models.Task).order_by(models.Task.name))
            return [queries.record(TaskRecord, row) for row in rows]

    # Leases

    def acquire_lease(self, run_id: str, holder: str, now: float | None = None) -> None:
        """Give ``holder`` the lease of a run for the next LEASE_SECONDS. The same call renews it.

        ``now`` is in seconds since the epoch. Raises BusyError if another holder has a valid lease.
        """
        try:
            with self._writing() as session:
                leases.acquire(session, run_id, holder, _time(now))
        except StoreError as error:
            if not isinstance(error.__cause__, IntegrityError):
                raise
            with self._writing() as session:  # another holder wrote the row first: read it
                leases.acquire(session, run_id, holder, _time(now))

    def release_lease(self, run_id: str, holder: str) -> None:
        """Release the lease of a run if ``holder`` has it."""
        with self._writing() as session:
            leases.release(session, run_id, holder)

    def lease_holder(self, run_id: str, now: float | None = None) -> str | None:
        """Return the holder of a valid lease of a run, or None."""
        with self._reading() as session:
            return leases.holder_of(session, run_id, _time(now))

    # Writing runs

    def start_run(self, run: NewRun) -> None:
        """Set the status of a new or existing run to "running", and update its environment and plugins."""
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
        """Set the status of a run, and of a stage in progress, to "finished", "interrupted" or "failed"."""
        if status not in ENDINGS:
            raise ValueError(f"status {status!r} is not one of {', '.join(ENDINGS)}")
        with self._writing(run_id) as session:
            row = queries.existing_run(session, run_id)
            row.status, row.finished, row.error = status, _now(), error
            if status != "finished":
                open_stages = models.Stage.run == run_id, models.Stage.status == "running"
                session.execute(update(models.Stage).where(*open_stages).values(status=status))

    def write(self, run_id: str, events: Sequence[Event]) -> None:
        """Write all ``events`` of a run, or none of them. Writing an event again updates its row.

        Raises StoreError if the run does not exist or was deleted.
        """
        if events:
            with self._writing(run_id) as session:
                apply_events(session, run_id, events)

    def write_predictions(
        self, run_id: str, after: int, task: str, split: str, rows: Sequence[tuple[str, str, Sequence[str]]]
    ) -> None:
        """Write (example, answer, references) for a split of a task after stage ``after``, in place of earlier ones."""
        with self._writing(run_id) as session:
            write_predictions(session, run_id, after, task, split, rows)

    def discard_after(self, run_id: str, position: int, step: int) -> None:
        """Delete the steps after ``step`` of stage ``position``, which a resumed run repeats."""
        steps = models.Step
        where = steps.run == run_id, steps.position == position, steps.step > step
        with self._writing() as session:
            session.execute(delete(steps).where(*where))

    def delete_run(self, run_id: str, *, force: bool = False) -> None:
        """Delete a run with all its rows. Raises StoreError if other runs continue it, unless ``force`` is set."""
        with self._writing() as session:
            row = queries.existing_run(session, run_id)
            children = session.scalars(select(models.Run.id).where(models.Run.parent == run_id)).all()
            if children and not force:
                hint = f"Delete {', '.join(children)} first, or use --force."
                raise StoreError(f"run {run_id} cannot be deleted: other runs continue it", hint)
            session.delete(row)

    # Reading runs

    def run(self, run_id: str) -> RunRecord | None:
        """Return the run with a full id, or None."""
        with self._reading() as session:
            row = session.get(models.Run, run_id)
            return queries.record(RunRecord, row) if row else None

    def runs(self, limit: int | None = None) -> list[RunRecord]:
        """Return the runs, the most recently started first."""
        with self._reading() as session:
            rows = session.scalars(queries.newest_first().limit(limit))
            return [queries.record(RunRecord, row) for row in rows]

    def resolve(self, text: str) -> str:
        """Return the id of the run that ``text`` refers to: "@last", an id, a prefix of an id, or a name.

        "@last" is the run started most recently. Raises UsageError if no or several runs match.
        """
        with self._reading() as session:
            known = [(row.id, row.name) for row in session.scalars(queries.newest_first())]
        if not known:
            hint = "Start one: micl learn --strategy moincl --tasks img_cap,aud_qa"
            raise UsageError(f"no run {text!r}: {self.location} has no runs yet", hint)
        return queries.match_run(text, known)

    def details(self, run_id: str) -> RunDetails:
        """Return a run with its plugins, stages, scores and routings. Raises StoreError if it does not exist."""
        with self._reading() as session:
            return queries.run_details(session, run_id)

    def steps(self, run_id: str) -> tuple[StepRecord, ...]:
        """Return the optimiser steps of a run, in order."""
        with self._reading() as session:
            return queries.steps(session, run_id)

    def predictions(self, run_id: str, after: int, task: str, split: str) -> tuple[PredictionRecord, ...]:
        """Return the stored answers, in the order of the manifest."""
        with self._reading() as session:
            return queries.predictions(session, run_id, after, task, split)

    # Transactions

    @contextmanager
    def _reading(self) -> Iterator[Session]:
        with reported(self.location), Session(self.engine) as session:
            yield session

    @contextmanager
    def _writing(self, run_id: str = "") -> Iterator[Session]:
        """Open a transaction that writes; ``run_id`` is the run that its rows belong to."""
        try:
            with reported(self.location), Session(writing(self.engine)) as session, session.begin():
                yield session
        except StoreError as error:
            if run_id and isinstance(error.__cause__, IntegrityError):
                with self._reading() as session:
                    queries.existing_run(session, run_id)
            raise


def _time(now: float | None) -> float:
    return time.time() if now is None else now


def _now() -> str:
    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
