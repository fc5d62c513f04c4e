"""Schema revisions: detect the revision of a store, and migrate it to the current one."""

from __future__ import annotations

import filecmp
import glob
import logging
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, inspect, text

from micl_cli.errors import StoreError
from micl_cli.io.removal import remove
from micl_cli.store.connect import shown, store_file, writing
from micl_cli.store.models import Base

HEAD = "0008"
"""The revision of the models. A constant, because importing Alembic is slow."""

MIGRATIONS = Path(__file__).parent / "migrations"

_TABLES = frozenset(Base.metadata.tables)

_log = logging.getLogger(__name__)


def revision(connection: Connection) -> str | None:
    """Return the revision of a store, or None if the database is empty.

    Raises StoreError if the tables are not those of micl, or if its revision is lost.
    """
    tables = inspect(connection).get_table_names()
    current = (
        connection.scalar(text("SELECT version_num FROM alembic_version")) if "alembic_version" in tables else None
    )
    own = len(_TABLES & set(tables))
    if tables and current is None and own > len(_TABLES) / 2:
        raise StoreError(
            f"the run store {shown(connection.engine.url)} is damaged: the revision of its schema is missing",
            "Replace it by a backup from the same folder, or set MICL_HOME to another folder.",
        )
    if tables and (current is None or not own):
        raise StoreError(
            f"the database {shown(connection.engine.url)} belongs to another program",
            "Set MICL_STORE to another database, or MICL_HOME to another folder.",
        )
    return None if current is None else str(current)


def ensure(engine: Engine) -> None:
    """Migrate an SQLite store to HEAD. A server store, which several programs may share, is only checked.

    Raises StoreError if the store is newer than this program, or is an outdated server store.
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

    Raises StoreError if ``current`` is unknown, which means that a newer program wrote it.
    """
    known = _history()
    if current is not None and current not in known:
        raise StoreError(
            f"the run store {shown(url)} was written by a newer micl (schema {current}, this one knows {HEAD})",
            "Upgrade micl (pip install --upgrade micl-cli), or set MICL_HOME to another folder.",
        )
    return known[known.index(current) + 1 :] if current else known


def migrate(engine: Engine, *, back_up: bool = True) -> list[str]:
    """Apply and return the missing revisions in one transaction, after a backup of an older SQLite store.

    Several processes may call it at the same time: the first one migrates, and the others have nothing to do.
    """
    with writing(engine).connect() as connection, _foreign_keys_off(connection), connection.begin():
        current = revision(connection)
        pending = missing(current, engine.url)
        if pending:
            backup = _back_up(engine.url, current) if back_up else None
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
    # Alembic alters an SQLite table by creating a new one and dropping the old one, which would delete
    # all rows that refer to it. The pragma has no effect within a transaction.
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
    if connection.dialect.name == "sqlite" and (rows := connection.exec_driver_sql("PRAGMA foreign_key_check").all()):
        raise StoreError(
            f"the run store {shown(connection.engine.url)} was not upgraded: {len(rows)} rows refer to missing rows",
            "Nothing was changed. `micl store check` lists them.",
        )


def _back_up(url: URL, current: str | None) -> Path | None:
    """Copy an SQLite file to the same folder, named by revision and time. Return None if there is nothing to copy."""
    file = store_file(url)
    if file is None or current is None:
        return None
    now = datetime.now(timezone.utc).strftime("%Y%m%dT%H%M%SZ")
    copy = file.with_name(f"{file.stem}-{current}-{now}{file.suffix}")
    partial = copy.with_name(f"{copy.name}.part")
    # The caller holds the lock of the store: no other process is making a copy.
    for leftover in file.parent.glob(f"{glob.escape(file.stem)}-*{glob.escape(file.suffix)}.part*"):
        remove(leftover)
    try:
        with closing(sqlite3.connect(file)) as source, closing(sqlite3.connect(partial)) as target:
            source.backup(target)
        # An upgrade that was interrupted has left the same copy.
        if same := next((path for path in backups(file, current) if filecmp.cmp(path, partial, shallow=False)), None):
            return same
        partial.replace(copy)
    finally:
        partial.unlink(missing_ok=True)
    return copy


def backups(file: Path, revision: str = "[0-9]*") -> list[Path]:
    """Return the backups of an SQLite store that upgrades have made, of one ``revision`` or all, oldest first."""
    return sorted(file.parent.glob(f"{glob.escape(file.stem)}-{revision}-*Z{glob.escape(file.suffix)}"))
