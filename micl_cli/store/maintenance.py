"""Maintenance of a store: locate, check and upgrade it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

from sqlalchemy import Connection, inspect, text

from micl_cli.errors import StoreError
from micl_cli.records import StoreCheck
from micl_cli.store import schema
from micl_cli.store.connect import connect, make_folder, parse_url, shown, store_file
from micl_cli.store.failures import reported
from micl_cli.store.models import Base
from micl_cli.store.reading import open_readable
from micl_cli.store.rows import damaged_rows


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
    parsed = parse_url(url)
    file = store_file(parsed)
    try:
        return file is None or file.exists()
    except OSError as error:
        hint = "Make its folder readable, or set MICL_HOME to another folder."
        raise StoreError(f"the run store {shown(parsed)} cannot be reached: {error.strerror}", hint) from error


def check(url: str) -> StoreCheck:
    """Check a store without changing it. Raises StoreError if it cannot be read as a store."""
    parsed = parse_url(url)
    if not exists(url):
        return StoreCheck(location=shown(parsed), state="missing", revision=None, expected=schema.HEAD)
    with ExitStack() as resources:
        engine = open_readable(parsed, resources)
        with reported(shown(parsed)), engine.connect() as connection:
            return _checked(connection, shown(parsed))


def _checked(connection: Connection, location: str) -> StoreCheck:
    current = schema.revision(connection)
    problems = tuple(_problems(connection, current))
    return StoreCheck(
        location=location,
        state="damaged" if problems else _state(current, connection),
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


def _problems(connection: Connection, current: str | None) -> Iterator[str]:
    """Yield the inconsistencies that SQLite reports, what is missing of the current schema, and the damaged rows."""
    if connection.dialect.name == "sqlite":  # other databases check themselves
        yield from (line for (line,) in connection.exec_driver_sql("PRAGMA integrity_check") if line != "ok")
        for table, row, parent, _ in connection.exec_driver_sql("PRAGMA foreign_key_check"):
            yield f"{table} row {row} refers to a row of {parent} that does not exist"
    if current == schema.HEAD:
        missing = list(_missing(connection))
        yield from missing or damaged_rows(connection)


def _missing(connection: Connection) -> Iterator[str]:
    """Yield the tables, columns and indexes of the current schema that a store does not have."""
    found = inspect(connection)
    for table in Base.metadata.sorted_tables:
        if not found.has_table(table.name):
            yield f"table {table.name} is missing"
            continue
        columns = {column["name"] for column in found.get_columns(table.name)}
        yield from (
            f"column {column.name} of {table.name} is missing" for column in table.columns if column.name not in columns
        )
        indexes = {index["name"] for index in found.get_indexes(table.name)}
        yield from (
            f"index {index.name} of {table.name} is missing" for index in table.indexes if index.name not in indexes
        )
        keys = set(found.get_pk_constraint(table.name)["constrained_columns"])
        if keys != {column.name for column in table.primary_key}:
            yield f"the primary key of {table.name} is missing"


def _count(connection: Connection, table: str) -> int:
    if not inspect(connection).has_table(table):
        return 0
    return int(connection.scalar(text(f"SELECT count(*) FROM {table}")) or 0)
