"""Maintenance of a store: locate, check and upgrade it."""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import Connection, inspect, text

from micl_cli.errors import StoreError
from micl_cli.records import StoreCheck
from micl_cli.store import schema
from micl_cli.store.connect import connect, make_folder, parse_url, shown, store_file
from micl_cli.store.failures import reported


def upgrade(url: str) -> list[str]:
    """Upgrade a store to the current schema and return the applied revisions, oldest first.

    An older SQLite store is first copied to a backup in the same folder. Raises StoreError if the upgrade fails.
    """
    parsed = parse_url(url)
    make_folder(parsed)
    engine = connect(parsed)
    try:
        with reported(shown(parsed)):
            return schema.migrate(engine)
    finally:
        engine.dispose()


def locate(url: str) -> str:
    """Return the file of an SQLite store, or the URL of another one without its password."""
    return shown(parse_url(url))


def exists(url: str) -> bool:
    """Return whether the file of a store exists; always True for a store on a server."""
    file = store_file(parse_url(url))
    return file is None or file.exists()


def check(url: str) -> StoreCheck:
    """Check a store without changing it. Raises StoreError if it cannot be read as a store."""
    parsed = parse_url(url)
    if not exists(url):
        return StoreCheck(location=shown(parsed), state="missing", revision=None, expected=schema.HEAD)
    engine = connect(parsed)
    try:
        with reported(shown(parsed)), engine.connect() as connection:
            return _checked(connection)
    finally:
        engine.dispose()


def _checked(connection: Connection) -> StoreCheck:
    current = schema.revision(connection)
    problems = tuple(_problems(connection))
    state = "damaged" if problems else _state(current, connection)
    return StoreCheck(
        location=shown(connection.engine.url),
        state=state,
        revision=current,
        expected=schema.HEAD,
        runs=_count(connection, "runs"),
        tasks=_count(connection, "tasks"),
        problems=problems,
    )


def _state(current: str | None, connection: Connection) -> str:
    if current in (None, schema.HEAD):
        return "ok" if current else "missing"
    try:
        schema.missing(current, connection.engine.url)
    except StoreError:
        return "newer"
    return "outdated"


def _problems(connection: Connection) -> Iterator[str]:
    """Yield the inconsistencies that SQLite reports; other databases check themselves."""
    if connection.dialect.name == "sqlite":
        yield from (line for (line,) in connection.exec_driver_sql("PRAGMA integrity_check") if line != "ok")
        for table, row, parent, _ in connection.exec_driver_sql("PRAGMA foreign_key_check"):
            yield f"{table} row {row} refers to a row of {parent} that does not exist"


def _count(connection: Connection, table: str) -> int:
    if not inspect(connection).has_table(table):
        return 0
    return int(connection.scalar(text(f"SELECT count(*) FROM {table}")) or 0)
