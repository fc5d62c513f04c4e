"""Engines: how a store is reached, and how several processes share one SQLite file."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError

from micl_cli.errors import StoreError

PATIENCE = 30.0
"""Seconds to wait while another process writes; a transaction of ours takes milliseconds."""


def parse_url(text: str) -> URL:
    """Read a SQLAlchemy URL. Raises StoreError where it is none."""
    try:
        return make_url(text)
    except ArgumentError as error:
        hint = "Write MICL_STORE as sqlite:////absolute/path/micl.db, or as another SQLAlchemy URL."
        raise StoreError(f"{text!r} is not the URL of a run store", hint) from error


def store_file(url: URL) -> Path | None:
    """The file of an SQLite store; None in memory and on servers."""
    if url.get_backend_name() != "sqlite" or url.database in (None, "", ":memory:"):
        return None
    name = str(url.database).removeprefix("file:")
    return None if name == ":memory:" or url.query.get("mode") == "memory" else Path(name)


def shown(url: URL) -> str:
    """The store's name in messages: its file, or its URL without the password."""
    file = store_file(url)
    return str(file) if file else url.render_as_string(hide_password=True)


def connect(url: URL) -> Engine:
    """An engine for ``url``; nothing is opened yet. Raises StoreError where its driver is missing."""
    try:
        if url.get_backend_name() != "sqlite":
            return create_engine(url, pool_pre_ping=True)  # a server may hang up during a long run
        engine = create_engine(url, connect_args={"timeout": PATIENCE})
    except (ImportError, NoSuchModuleError) as error:
        hint = "Install the driver that the URL names, or name another: https://docs.sqlalchemy.org/dialects"
        raise StoreError(f"no driver for the run store {shown(url)}: {error}", hint) from error
    event.listen(engine, "connect", _set_up)
    event.listen(engine, "begin", _begin)
    return engine


def make_folder(url: URL) -> None:
    """Create the folder of an SQLite store. Raises StoreError where that cannot be."""
    if file := store_file(url):
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            hint = "Make its parent writable, or set MICL_HOME to another folder."
            raise StoreError(f"the folder {file.parent} cannot be made: {error.strerror}", hint) from error


def _set_up(connection: Any, record: object) -> None:
    # The driver begins no transaction before DDL, so that a failed migration would stay half done;
    # with its own switched off there are only ours (see _begin).
    connection.isolation_level = None
    connection.execute("PRAGMA foreign_keys=ON")


def _begin(connection: Connection) -> None:
    # A transaction that reads first and writes later fails at once when another process wrote in
    # between; one that says so at its beginning waits.
    writes = connection.get_execution_options().get("writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def writing(engine: Engine) -> Engine:
    """The same engine for transactions that write."""
    return engine.execution_options(writes=True)


def use_wal(engine: Engine) -> None:
    """Let readers read while one process writes; SQLite remembers it in the file.

    Where a neighbour is just using the file the switch is refused; the next opening makes it,
    and until then processes wait a little longer for each other.
    """
    connection = engine.raw_connection()
    try:
        driver: Any = connection.driver_connection
        if driver.execute("PRAGMA journal_mode").fetchone()[0] == "delete":
            with suppress(driver.OperationalError):
                driver.execute("PRAGMA journal_mode=WAL").fetchone()
    finally:
        connection.close()
