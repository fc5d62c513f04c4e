"""The run store: a database with an interface of plain records, safe for use by several processes."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, replace
from types import TracebackType

from sqlalchemy import Engine, delete, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from micl_cli.api.events import Event
from micl_cli.errors import StoreError, UsageError
from micl_cli.records import (
    EnvironmentRecord,
    NewRun,
    PredictionRecord,
    PredictionSet,
    RunDetails,
    RunRecord,
    StepRecord,
    TaskRecord,
)
from micl_cli.store import leases, models, queries, schema
from micl_cli.store.connect import connect, make_folder, parse_url, shown, store_file, use_wal, writing
from micl_cli.store.failures import reported
from micl_cli.store.reading import check_writable, is_writable, only_readable, open_current, open_read_only
from micl_cli.store.validation import is_run_id
from micl_cli.store.writing import apply_events, utc_now, write_environment, write_predictions, write_tags

ENDINGS = ("finished", "interrupted", "failed")


class Store:
    """The runs, tasks and scores of one database. Every method is one transaction.

    All methods raise StoreError if the database fails; earlier writes are not affected.
    """

    def __init__(self, engine: Engine, location: str = "", resources: ExitStack | None = None) -> None:
        self.engine = engine
        self.location = location or shown(engine.url)
        self._resources = resources or ExitStack()

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

    @classmethod
    def open_to_read(cls, url: str) -> Store:
        """Open an existing store to read it, also if its file and folder cannot be written.

        A store that can be written is upgraded if necessary, as by ``open``. Of one that cannot, a temporary copy is.
        Raises StoreError if it cannot be opened or upgraded.
        """
        parsed = parse_url(url)
        file = store_file(parsed)
        if file is None or is_writable(file):
            try:
                return cls.open(url)
            except StoreError as error:
                if file is None or not only_readable(file, error):
                    raise
        with ExitStack() as resources:
            engine = open_current(parsed, file, resources)
            return cls(engine, shown(parsed), resources.pop_all())

    @classmethod
    def open_as_it_is(cls, url: str) -> Store:
        """Open an SQLite store of the current schema to read it, and change nothing, not even its schema.

        Raises StoreError if there is no such store.
        """
        parsed = parse_url(url)
        file = store_file(parsed)
        if file is None or not file.is_file():
            raise StoreError(f"{shown(parsed)} is not a file")
        with ExitStack() as resources:
            engine = open_read_only(parsed, file, resources)
            with reported(shown(parsed)), engine.connect() as connection:
                if (revision := schema.revision(connection)) != schema.HEAD:
                    raise StoreError(f"the run store {file} has schema {revision}, not {schema.HEAD}")
            return cls(engine, shown(parsed), resources.pop_all())

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()
        self._resources.close()

    def __enter__(self) -> Store:
        return self

    def __exit__(self, cls: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    # Tasks

    def record_task(self, task: TaskRecord) -> None:
        """Write the record of a prepared task, in place of an earlier preparation."""
        values = {"modalities": list(task.modalities), "counts": dict(task.counts)}
        with self._writing() as session:
            session.merge(models.Task(**{**asdict(task), **values, "prepared": task.prepared or utc_now()}))

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

    def forget_task(self, name: str) -> None:
        """Delete the record of a prepared task, if there is one."""
        with self._writing() as session:
            session.execute(delete(models.Task).where(models.Task.name == name))

    # Leases

    def acquire_lease(self, run_id: str, holder: str, now: float | None = None, *, renew: bool = False) -> None:
        """Give ``holder`` the lease of a run for the next LEASE_SECONDS, or ``renew`` the lease that it has.

        ``now`` is in seconds since the epoch. Raises BusyError if another holder has a valid lease, or has taken over
        the lease to be renewed.
        """
        try:
            with self._writing() as session:
                leases.acquire(session, run_id, holder, _time(now), renew=renew)
        except StoreError as error:
            if not isinstance(error.__cause__, IntegrityError):
                raise
            with self._writing() as session:  # another holder wrote the row first: read it
                leases.acquire(session, run_id, holder, _time(now), renew=renew)

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
            # All is written again, because the row may be damaged; the id is the fingerprint of the plan.
            row.name = run.name or (row.name if isinstance(row.name, str) else "")
            row.parent = run.parent or (row.parent if is_run_id(row.parent) else None)
            row.plan = {**run.plan, "name": row.name} if "name" in run.plan else dict(run.plan)
            row.environment = dict(run.environment)
            if run.recipe is not None or not isinstance(row.recipe, dict):
                row.recipe = None if run.recipe is None else dict(run.recipe)
            row.status, row.started, row.finished, row.error = "running", utc_now(), "", ""
            with session.no_autoflush:
                row.turn = 1 + (session.scalar(queries.last_turn()) or 0)
            session.flush()
            session.execute(delete(models.RunPlugin).where(models.RunPlugin.run == run.id))
            session.add_all(models.RunPlugin(run=run.id, **asdict(plugin)) for plugin in run.plugins)

    def record_recipe(self, run_id: str, recipe: Mapping[str, str]) -> None:
        """Record the recipe of a run."""
        with self._writing(run_id) as session:
            queries.existing_run(session, run_id).recipe = dict(recipe)

    def end_run(self, run_id: str, status: str, error: str = "") -> None:
        """Set the status of a run, and of a stage in progress, to "finished", "interrupted" or "failed"."""
        if status not in ENDINGS:
            raise ValueError(f"status {status!r} is not one of {', '.join(ENDINGS)}")
        with self._writing(run_id) as session:
            row = queries.existing_run(session, run_id)
            row.status, row.finished, row.error = status, utc_now(), error
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

    def record_environment(self, run_id: str, record: EnvironmentRecord) -> None:
        """Write the environment in which a run is continued or scored, unless it equals the one before."""
        with self._writing(run_id) as session:
            write_environment(session, run_id, replace(record, started=record.started or utc_now()))

    def write_predictions(
        self, run_id: str, after: int, task: str, split: str, rows: Sequence[PredictionRecord]
    ) -> None:
        """Write the answers to a split of a task after stage ``after``, in place of earlier ones."""
        with self._writing(run_id) as session:
            write_predictions(session, run_id, after, task, split, rows)

    def discard_after(self, run_id: str, position: int, step: int) -> None:
        """Delete the steps and validations after ``step`` of stage ``position``, which a resumed run repeats."""
        with self._writing() as session:
            for table in (models.Step, models.Validation):
                where = table.run == run_id, table.position == position, table.step > step
                session.execute(delete(table).where(*where))

    def rename_run(self, run_id: str, name: str) -> None:
        """Give a run another name."""
        with self._writing() as session:
            row = queries.existing_run(session, run_id)
            row.name = name
            if isinstance(row.plan, dict):
                row.plan = {**row.plan, "name": name}

    def tag_run(self, run_id: str, add: Collection[str] = (), remove: Collection[str] = ()) -> None:
        """Give a run tags, and take others from it. Tags that it has, or does not have, are ignored."""
        with self._writing(run_id) as session:
            write_tags(session, run_id, add, remove)

    def delete_run(self, run_id: str, *, force: bool = False) -> None:
        """Delete a run with all its rows. Raises StoreError if other runs continue it, unless ``force`` is set."""
        with self._writing() as session:
            queries.existing_run(session, run_id)
            queries.refuse_parent(session, run_id, force)
            # Without reading the row, which may be damaged; its other rows go with it.
            session.execute(delete(models.Run).where(models.Run.id == run_id))

    def check_deletable(self, run_id: str, *, force: bool = False) -> None:
        """Raise StoreError if ``delete_run`` would refuse to delete a run, or may not write to the store."""
        check_writable(self.engine.url, self.location)
        with self._reading() as session:
            queries.existing_run(session, run_id)
            queries.refuse_parent(session, run_id, force)

    # Reading runs

    def run(self, run_id: str) -> RunRecord | None:
        """Return the run with a full id, or None."""
        with self._reading() as session:
            row = session.get(models.Run, run_id)
            return queries.run_record(row) if row else None

    def runs(self, limit: int | None = None) -> list[RunRecord]:
        """Return the runs, the most recently started first, with status "damaged" if their row cannot be read."""
        with self._reading() as session:
            rows = session.scalars(queries.newest_first().limit(limit))
            return [queries.run_record(row) for row in rows]

    def named(self, name: str) -> list[str]:
        """Return the ids of the runs with a name."""
        with self._reading() as session:
            return list(session.scalars(select(models.Run.id).where(models.Run.name == name)))

    def resolve(self, text: str) -> str:
        """Return the id of the run that ``text`` refers to: "@last", an id, a name, or a prefix of an id.

        "@last" is the run started most recently. An id goes before a name, and a name before a prefix. Raises
        UsageError if no or several runs match.
        """
        with self._reading() as session:
            known = [(str(row.id), str(row.name)) for row in session.scalars(queries.newest_first())]
        if not known:
            hint = "Start one: micl learn --strategy moincl --tasks img_cap,aud_qa"
            raise UsageError(f"no run {text!r}: {self.location} has no runs yet", hint)
        return queries.match_run(text, known)

    def details(self, run_id: str) -> RunDetails:
        """Return a run with its plugins, stages, scores and routings. Raises StoreError if it does not exist."""
        with self._reading() as session:
            return queries.run_details(session, run_id)

    def results(self, runs: Sequence[RunRecord]) -> dict[str, RunDetails]:
        """Return runs by id with their stages and main scores only, without those of which a row is damaged."""
        with self._reading() as session:
            return queries.results(session, runs)

    def steps(self, run_id: str, last: int | None = None) -> tuple[StepRecord, ...]:
        """Return the optimiser steps of a run, or the ``last`` of them, in order."""
        with self._reading() as session:
            return queries.steps(session, run_id, last)

    def predictions(
        self, run_id: str, after: int, task: str, split: str, limit: int | None = None
    ) -> tuple[PredictionRecord, ...]:
        """Return the stored answers, at most ``limit``, in the order of the manifest."""
        with self._reading() as session:
            return queries.predictions(session, run_id, after, task, split, limit)

    def prediction_sets(self, run_id: str) -> tuple[PredictionSet, ...]:
        """Return the sets of stored answers of a run, by stage, task and split."""
        with self._reading() as session:
            return queries.prediction_sets(session, run_id)

    def without_predictions(self, run_id: str) -> list[int]:
        """Return the stages of a run after which a task was scored without storing the answers."""
        with self._reading() as session:
            return queries.without_predictions(session, run_id)

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
