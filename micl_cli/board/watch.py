"""Reading of what the board shows from the store, which is never written, locked or upgraded."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from micl_cli.board.progress import RECENT_STEPS, progress_of
from micl_cli.board.rows import WAITING, Board, RunRow, SweepRow
from micl_cli.errors import StoreError
from micl_cli.io.documents import json_sha256
from micl_cli.plan import Plan
from micl_cli.records import RunDetails, RunRecord, StepRecord
from micl_cli.session.recorder import run_data
from micl_cli.session.report_data import with_scales
from micl_cli.session.session import Session, with_damage
from micl_cli.store import DAMAGED, Store, exists, open_unchanged
from micl_cli.store.connect import parse_url, store_file
from micl_cli.sweep.record import SweepRecord, sweep_records

MAX_SWEEPS = 20
"""The number of sweeps that are shown, the latest ones."""
FRESH_SECONDS = 1.0
"""The time for which what was read is shown, however many pages ask."""
ENDED_SECONDS = 30.0
"""The time for which the rows of runs that have ended are kept: only `micl eval` changes them."""
REST = 10.0
"""Reading takes at most one part in so many of the time of a processor, which runs need for learning."""


class WatchingSession(Session):
    """A session that opens the run store without changing it."""

    def store(self) -> Store:
        """Refuse to open the store for writing."""
        raise StoreError("the board does not write to the run store")

    def store_to_read(self) -> Store:
        """Return the existing run store as it is. Raises StoreError."""
        return open_unchanged(self.settings.store_url)


class Watch:
    """Reads the runs of a store, the ``limit`` latest ones, and the sweeps of a home folder. Threads may share it."""

    def __init__(self, session: WatchingSession, limit: int) -> None:
        self.session, self.limit = session, limit
        self._lock = threading.Lock()
        self._read = float("-inf")
        self._board = Board()
        self._store: Store | None = None
        self._files: object = None
        self._fresh = 0.0
        self._ended: dict[str, tuple[float, RunRow]] = {}

    def board(self) -> Board:
        """Return what the board shows, at most FRESH_SECONDS old. Raises StoreError."""
        with self._lock:
            if time.monotonic() - self._read >= max(FRESH_SECONDS, self._fresh):
                started = time.thread_time()
                self._board = self._current()
                self._fresh = REST * (time.thread_time() - started)
                self._read = time.monotonic()
            return self._board

    def stamp(self, runs: Sequence[str]) -> str:
        """Return a digest of what reports of runs depend on. Raises StoreError if the rows of one cannot be read."""
        with self._lock, self._opened() as store:
            parts = [repr((store.details(run), store.steps(run, 1), store.prediction_sets(run))) for run in runs]
        return json_sha256(parts)

    def close(self) -> None:
        """Close the store, and remove the copy that is read if there is one."""
        with self._lock:
            if self._store is not None:
                self._store.close()
                self._store = None

    @contextmanager
    def _opened(self) -> Iterator[Store]:
        """Yield the open store. It is opened anew when its files have changed, since a copy may be read."""
        files = _state_of_files(self.session.settings.store_url)
        if self._store is None or files != self._files:
            if self._store is not None:
                self._store.close()
                self._store = None
            self._store, self._files = self.session.store_to_read(), files
        try:
            yield self._store
        finally:
            self._store.engine.dispose()  # no connection stays open in between

    def _current(self) -> Board:
        if not exists(self.session.settings.store_url):
            return Board(sweeps=self._sweeps({}))
        with self._opened() as store:
            known = [self.session.with_real_status(run, store) for run in map(with_damage, store.runs())]
            listed = known[: self.limit]
            rows = self._rows(store, listed)
        sweeps = self._sweeps({run.id: run.status for run in known})
        return Board(runs=rows, sweeps=sweeps, older=len(known) - len(listed))

    def _rows(self, store: Store, runs: Sequence[RunRecord]) -> list[RunRow]:
        """Return the rows of runs. Those of runs that have ended are not read again each time."""
        recent = time.monotonic() - ENDED_SECONDS
        kept = {run: row for run, (read, row) in self._ended.items() if read > recent}
        rows = {run.id: kept[run.id] for run in runs if run.id in kept and kept[run.id].record == run}
        results = store.results([run for run in runs if run.id not in rows and run.status != DAMAGED])
        examples = _examples(store) if results else {}
        for run in runs:
            if run.id not in rows:
                rows[run.id] = self._row(store, run, results.get(run.id), examples)
                if run.status != "running":
                    self._ended[run.id] = time.monotonic(), rows[run.id]
        return [rows[run.id] for run in runs]

    def _row(self, store: Store, run: RunRecord, details: RunDetails | None, examples: Mapping[str, int]) -> RunRow:
        if details is None:
            error = run.error or "a row of its stages or scores is damaged"
            return RunRow(record=replace(run, status=DAMAGED, error=error))
        data = with_scales(run_data(details), self.session.registry)
        steps: tuple[StepRecord, ...] = ()
        with suppress(StoreError):  # a damaged row of a step only hides loss and time left
            steps = store.steps(run.id, RECENT_STEPS if run.status == "running" else 1)
        return RunRow(record=run, data=data, progress=progress_of(data, Plan.from_json(run.plan), steps, examples))

    def _sweeps(self, status: Mapping[str, str]) -> list[SweepRow]:
        return [_sweep(record, status) for record in sweep_records(self.session.settings, MAX_SWEEPS)]


def _sweep(record: SweepRecord, status: Mapping[str, str]) -> SweepRow:
    return SweepRow(record=record, states={cell.run: status.get(cell.run, WAITING) for cell in record.cells})


def _examples(store: Store) -> dict[str, int]:
    """Return the numbers of training examples of prepared tasks, or none if their records are damaged."""
    with suppress(StoreError):
        return {task.name: task.counts["train"] for task in store.tasks() if "train" in task.counts}
    return {}


def _state_of_files(url: str) -> object:
    """Return what changes whenever an SQLite store is written; None for a store on a server."""
    file = store_file(parse_url(url))
    return file and [_state_of_file(file.with_name(file.name + suffix)) for suffix in ("", "-wal")]


def _state_of_file(path: Path) -> tuple[int, ...] | None:
    """Return what changes whenever a file is written; None for one that is missing or empty, as after reading a log."""
    try:
        status = path.stat()
    except OSError:
        return None
    return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns) if status.st_size else None
