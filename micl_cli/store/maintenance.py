"""Looking after a store: where it is, whether it is sound, and bringing it to this program's schema."""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import Connection, inspect, text

from micl_cli.errors import StoreError
from micl_cli.records import StoreCheck
from micl_cli.store import schema
from micl_cli.store.connect import connect, make_folder, parse_url, shown, store_file
from micl_cli.store.failures import reported


def upgrade(url: str) -> list[str]:
    """Bring a store to this program's schema and return the revisions applied, oldest first.

    An older SQLite store is copied beside itself first. Raises StoreError where it cannot be done.
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
    """Where a store is: the file of an SQLite one, else the URL without its password."""
    return shown(parse_url(url))


def exists(url: str) -> bool:
    """Whether there is a store to open; a server's always counts as one."""
    file = store_file(parse_url(url))
    return file is None or file.exists()


def check(url: str) -> StoreCheck:
    """Look a store over and change nothing. Raises StoreError where it cannot be read as one."""
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
    found = schema.revision(connection)
    problems = tuple(_problems(connection))
    state = "damaged" if problems else _state(found, connection)
    return StoreCheck(
        location=shown(connection.engine.url),
        state=state,
        revision=found,
        expected=schema.HEAD,
        runs=_count(connection, "runs"),
        tasks=_count(connection, "tasks"),
        problems=problems,
    )


def _state(found: str | None, connection: Connection) -> str:
    if found in (None, schema.HEAD):
        return "ok" if found else "missing"
    try:
        schema.missing(found, connection.engine.url)
    except StoreError:
        return "newer"
    return "outdated"


def _problems(connection: Connection) -> Iterator[str]:
    """What SQLite itself finds wrong; servers look after themselves."""
    if connection.dialect.name == "sqlite":
        yield from (line for (line,) in connection.exec_driver_sql("PRAGMA integrity_check") if line != "ok")
        for table, row, parent, _ in connection.exec_driver_sql("PRAGMA foreign_key_check"):
            yield f"{table} row {row} refers to a row of {parent} that is not there"


def _count(connection: Connection, table: str) -> int:
    if not inspect(connection).has_table(table):
        return 0
    return int(connection.scalar(text(f"SELECT count(*) FROM {table}")) or 0)
