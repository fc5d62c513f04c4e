"""Schema revisions: detect the one of a store, and migrate it to the one that this program needs."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, inspect, text

from micl_cli.errors import StoreError
from micl_cli.store.connect import shown, store_file, writing

HEAD = "0004"
"""The revision that the models describe. A constant, because importing Alembic takes long."""

MIGRATIONS = Path(__file__).parent / "migrations"

_log = logging.getLogger(__name__)


def revision(connection: Connection) -> str | None:
    """Return the store's revision; None where the database is empty.

    Raises StoreError where the tables are not those of micl.
    """
    tables = inspect(connection).get_table_names()
    current = (
        connection.scalar(text("SELECT version_num FROM alembic_version")) if "alembic_version" in tables else None
    )
    if tables and (current is None or "runs" not in tables):
        raise StoreError(
            f"the database {shown(connection.engine.url)} belongs to another program",
            "Set MICL_STORE to another database, or MICL_HOME to another folder.",
        )
    return None if current is None else str(current)


def ensure(engine: Engine) -> None:
    """Migrate an SQLite store to HEAD; require it of a server store, which several programs may share.

    Raises StoreError where the store is newer than this program, or is an outdated server store.
    """
    with engine.connect() as connection:
        current = revision(connection)
    if current == HEAD:
        return
    missing(current, engine.url)
    if engine.dialect.name != "sqlite":
        state = "has no tables yet" if current is None else f"has the older schema {current} (now {HEAD})"
        raise StoreError(f"the run store {shown(engine.url)} {state}", "Run `micl store upgrade` once.")
    migrate(engine)


def missing(current: str | None, url: URL) -> list[str]:
    """Return the revisions after ``current`` up to HEAD, oldest first.

    Raises StoreError where ``current`` is unknown, that is, written by a newer program.
    """
    known = _history()
    if current is not None and current not in known:
        raise StoreError(
            f"the run store {shown(url)} was written by a newer micl (schema {current}, this one knows {HEAD})",
            "Upgrade micl (pip install --upgrade micl-cli), or set MICL_HOME to another folder.",
        )
    return known[known.index(current) + 1 :] if current else known


def migrate(engine: Engine) -> list[str]:
    """Apply and return the missing revisions, in one transaction; an older SQLite store is backed up first.

    Safe when several processes do so at once: the first one migrates, the others find nothing missing.
    """
    with writing(engine).connect() as connection, _foreign_keys_off(connection), connection.begin():
        current = revision(connection)
        pending = missing(current, engine.url)
        if pending:
            backup = _back_up(engine.url, current)
            _apply(connection)
            _check_references(connection)
            if backup:
                _log.warning("upgraded the run store from schema %s to %s; backup: %s", current, HEAD, backup)
    return pending


def _apply(connection: Connection) -> None:
    from alembic import command

    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _config() -> Any:
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config


def _history() -> list[str]:
    from alembic.script import ScriptDirectory

    return [script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions()][::-1]


@contextmanager
def _foreign_keys_off(connection: Connection) -> Iterator[None]:
    # Alembic alters an SQLite table by building a new one and dropping the old, which would delete
    # every row that refers to it. The pragma has no effect within a transaction.
    if connection.dialect.name != "sqlite":
        yield
        return
    driver: Any = connection.connection.driver_connection
    driver.execute("PRAGMA foreign_keys=OFF")
    try:
        yield
    finally:
        driver.execute("PRAGMA foreign_keys=ON")


def _check_references(connection: Connection) -> None:
    if connection.dialect.name == "sqlite" and (lost := connection.exec_driver_sql("PRAGMA foreign_key_check").all()):
        raise StoreError(
            f"the run store {shown(connection.engine.url)} was not upgraded: {len(lost)} rows refer to missing rows",
            "Nothing was changed. `micl store check` lists them.",
        )


def _back_up(url: URL, current: str | None) -> Path | None:
    """Copy an SQLite file beside itself, named by revision and time; None where there is nothing to back up."""
    file = store_file(url)
    if file is None or current is None:
        return None
    now = datetime.now(timezone.utc).strftime("%Y%m%dT%H%M%SZ")
    copy = file.with_name(f"{file.stem}-{current}-{now}{file.suffix}")
    partial = copy.with_name(f"{copy.name}.part")
    try:
        with closing(sqlite3.connect(file)) as source, closing(sqlite3.connect(partial)) as target:
            source.backup(target)
        partial.replace(copy)
    finally:
        partial.unlink(missing_ok=True)
    return copy
