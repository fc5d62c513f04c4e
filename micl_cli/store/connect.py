"""SQLAlchemy engines for stores, with settings for sharing an SQLite file between processes."""

from __future__ import annotations

import json
import os
import sqlite3
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError

from micl_cli.errors import StoreError
from micl_cli.io.json_text import json_text
from micl_cli.redaction import redact_url, remember_secrets

LOCK_TIMEOUT = 30.0
"""Seconds to wait while another process writes; a transaction takes milliseconds."""


_DECODES_PATHS = make_url("sqlite:///%41").database == "A"
"""Whether this version of SQLAlchemy decodes percent-escapes in the database of a URL, as 2.1 does."""


class Undecodable:
    """Stands for a JSON value that cannot be decoded, so that only its row is damaged and not the whole query."""


def parse_url(text: str) -> URL:
    """Parse a SQLAlchemy URL. Raises StoreError if it is invalid."""
    remember_secrets(text)
    try:
        url = make_url(text)
    except (ArgumentError, ValueError) as error:
        hint = "Write MICL_STORE as sqlite:////absolute/path/micl.db, or as another SQLAlchemy URL."
        raise StoreError(f"{redact_url(text)!r} is not the URL of a run store", hint) from error
    if "@" in (url.host or ""):
        raise StoreError(f"the URL {redact_url(text)!r} has several @", "Write %40 for each @ in a password.")
    if url.get_backend_name() == "sqlite" and url.database and not _DECODES_PATHS:
        return url.set(database=unquote(url.database))
    return url


def store_file(url: URL) -> Path | None:
    """Return the file of an SQLite store, or None for a store in memory or on a server."""
    if url.get_backend_name() != "sqlite" or url.database in (None, "", ":memory:"):
        return None
    name = str(url.database)
    if name.startswith("file:"):
        name = unquote(name.removeprefix("file:"))
    return None if name == ":memory:" or url.query.get("mode") == "memory" else Path(name)


def shown(url: URL) -> str:
    """Return the store's name for messages: its file, or its URL without secrets."""
    file = store_file(url)
    return str(file) if file else redact_url(url.render_as_string(hide_password=False))


def connect(url: URL) -> Engine:
    """Return an engine for ``url`` without connecting. Raises StoreError if the driver is missing."""
    try:
        if url.get_backend_name() != "sqlite":
            # A server may close the connection during a long run.
            return create_engine(url, pool_pre_ping=True, **_JSON)
        engine = create_engine(url, connect_args={"timeout": LOCK_TIMEOUT}, **_JSON)
    except (ImportError, NoSuchModuleError) as error:
        hint = "Install the driver that the URL names, or name another: https://docs.sqlalchemy.org/dialects"
        raise StoreError(f"no driver for the run store {shown(url)}: {error}", hint) from error
    except (ArgumentError, TypeError, ValueError) as error:  # an option in the query that the dialect refuses
        raise StoreError(f"the URL {shown(url)} cannot be used: {error}", "Correct MICL_STORE.") from error
    return _set_up_engine(engine)


def refuse_writes(engine: Engine) -> Engine:
    """Return the engine of an SQLite store, which refuses to write from now on."""
    event.listen(engine, "connect", lambda connection, record: connection.execute("PRAGMA query_only=ON"))
    return engine


def connect_read_only(url: URL, file: Path, *, immutable: bool) -> Engine:
    """Return an engine that only reads the SQLite store in ``file``; ``url`` names it in messages.

    SQLite needs to write a file next to a store with write-ahead logging, except if the store is ``immutable``, when
    it takes no locks and does not read the log.
    """
    name = f"file:{quote(os.fsencode(file.absolute()))}?mode=ro{'&immutable=1' if immutable else ''}"

    def open_file() -> sqlite3.Connection:
        return sqlite3.connect(name, uri=True, timeout=LOCK_TIMEOUT, check_same_thread=False)

    return _set_up_engine(create_engine(url, creator=open_file, **_JSON))


def _set_up_engine(engine: Engine) -> Engine:
    event.listen(engine, "connect", _set_up)
    event.listen(engine, "begin", _begin)
    return engine


def _decode(text: Any) -> Any:
    try:
        return json.loads(text)
    except (ValueError, TypeError, RecursionError):
        return Undecodable()


_JSON: dict[str, Any] = {"json_serializer": json_text, "json_deserializer": _decode}


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
    connection.text_factory = _text
    connection.execute("PRAGMA foreign_keys=ON")


def _text(data: bytes) -> str:
    # One text that is not UTF-8 must not break the query for all rows.
    return data.decode("utf-8", "replace")


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
