"""SQLAlchemy engines for stores, with settings for sharing an SQLite file between processes."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError

from micl_cli.errors import StoreError
from micl_cli.io.json_text import json_text

LOCK_TIMEOUT = 30.0
"""Seconds to wait while another process writes; a transaction takes milliseconds."""


def parse_url(text: str) -> URL:
    """Parse a SQLAlchemy URL. Raises StoreError if it is invalid."""
    try:
        return make_url(text)
    except ArgumentError as error:
        hint = "Write MICL_STORE as sqlite:////absolute/path/micl.db, or as another SQLAlchemy URL."
        raise StoreError(f"{text!r} is not the URL of a run store", hint) from error


def store_file(url: URL) -> Path | None:
    """Return the file of an SQLite store, or None for a store in memory or on a server."""
    if url.get_backend_name() != "sqlite" or url.database in (None, "", ":memory:"):
        return None
    name = str(url.database).removeprefix("file:")
    return None if name == ":memory:" or url.query.get("mode") == "memory" else Path(name)


def shown(url: URL) -> str:
    """Return the store's name for messages: its file, or its URL without the password."""
    file = store_file(url)
    return str(file) if file else url.render_as_string(hide_password=True)


def connect(url: URL) -> Engine:
    """Return an engine for ``url`` without connecting. Raises StoreError if the driver is missing."""
    try:
        if url.get_backend_name() != "sqlite":
            # A server may close the connection during a long run.
            return create_engine(url, json_serializer=json_text, pool_pre_ping=True)
        engine = create_engine(url, json_serializer=json_text, connect_args={"timeout": LOCK_TIMEOUT})
    except (ImportError, NoSuchModuleError) as error:
        hint = "Install the driver that the URL names, or name another: https://docs.sqlalchemy.org/dialects"
        raise StoreError(f"no driver for the run store {shown(url)}: {error}", hint) from error
    event.listen(engine, "connect", _set_up)
    event.listen(engine, "begin", _begin)
    return engine


def make_folder(url: URL) -> None:
    """Create the folder of an SQLite store. Raises StoreError if that fails."""
    if file := store_file(url):
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            hint = "Make its parent writable, or set MICL_HOME to another folder."
            raise StoreError(f"the folder {file.parent} cannot be created: {error.strerror}", hint) from error


def _set_up(connection: Any, record: object) -> None:
    # The driver starts no transaction before DDL, so that a failed migration would be half applied.
    # Its own transactions are disabled here, in favour of those of _begin.
    connection.isolation_level = None
    connection.execute("PRAGMA foreign_keys=ON")


def _begin(connection: Connection) -> None:
    # A transaction that reads before it writes fails immediately if another process has written
    # in between; BEGIN IMMEDIATE waits instead.
    writes = connection.get_execution_options().get("writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def writing(engine: Engine) -> Engine:
    """Return the engine with the option for transactions that write."""
    return engine.execution_options(writes=True)


def use_wal(engine: Engine) -> None:
    """Switch an SQLite file to write-ahead logging, in which readers and one writer do not block each other.

    The mode is stored in the file. SQLite refuses to change it while another process uses the file; it is then changed
    the next time the store is opened.
    """
    connection = engine.raw_connection()
    try:
        driver: Any = connection.driver_connection
        if driver.execute("PRAGMA journal_mode").fetchone()[0] == "delete":
            with suppress(driver.OperationalError):
                driver.execute("PRAGMA journal_mode=WAL").fetchone()
    finally:
        connection.close()
