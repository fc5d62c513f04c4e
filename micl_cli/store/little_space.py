"""Deletion of a run from an SQLite store on a full disk."""

from __future__ import annotations

import sqlite3
from contextlib import closing

from micl_cli.errors import StoreError
from micl_cli.store.connect import parse_url, shown, store_file
from micl_cli.store.failures import cannot_write, reported
from micl_cli.store.models import Base

_LOCK_SECONDS = 5.0


def delete_in_little_space(url: str, run_id: str, error: StoreError) -> None:
    """Delete the rows of a run after ``error``, if it was that the disk is full; otherwise raise ``error`` again.

    An ordinary transaction needs space for its log and for a file that processes share. This one locks the store for
    itself and deletes table by table, the run last, so that an interrupted deletion can be repeated. Raises StoreError
    if that also fails.
    """
    parsed = parse_url(url)
    file = store_file(parsed)
    if file is None or not cannot_write(error):
        raise error
    with (
        reported(shown(parsed)),
        closing(sqlite3.connect(file, timeout=_LOCK_SECONDS, isolation_level=None)) as connection,
    ):
        connection.execute("PRAGMA locking_mode=EXCLUSIVE")
        connection.execute("PRAGMA temp_store=MEMORY")
        for table in reversed(Base.metadata.sorted_tables):
            column = "id" if table.name == "runs" else "run"
            if column in table.columns:
                connection.execute(f'DELETE FROM "{table.name}" WHERE "{column}" = ?', (run_id,))
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
