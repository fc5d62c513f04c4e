"""Engines for reading a store where nothing can be written: on a read-only disk, a full one, or in another's folder."""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from sqlalchemy import URL, Engine, inspect

from micl_cli.errors import StoreError
from micl_cli.store import schema
from micl_cli.store.connect import connect, connect_read_only, refuse_writes, shown, store_file
from micl_cli.store.failures import cannot_write, reported

_log = logging.getLogger(__name__)
_JOURNALS = ("-wal", "-journal")
"""The suffixes of files that may hold transactions which are not in the SQLite file yet."""


def is_writable(file: Path) -> bool:
    """Return whether permissions allow to write to a store and its folder; True if there is no file yet."""
    return not file.is_file() or (os.access(file, os.W_OK) and os.access(file.parent, os.W_OK))


def check_writable(url: URL, location: str) -> None:
    """Raise StoreError if the file of a store, which messages call ``location``, cannot be written."""
    file = store_file(url)
    if file and not is_writable(file):
        hint = "Make the file and its folder writable, or set MICL_HOME to another folder."
        raise StoreError(f"the run store {location} cannot be written to", hint)


def only_readable(file: Path, error: StoreError) -> bool:
    """Return whether a store that could not be opened may still be read, since only writing failed."""
    return cannot_write(error) and file.is_file()


def open_readable(url: URL, resources: ExitStack) -> Engine:
    """Return an engine that can read the existing store at ``url``, and only read it if its file cannot be written.

    ``resources`` disposes of the engine, and of the copy that it reads if there is one. Raises StoreError.
    """
    file = store_file(url)
    if file is None or is_writable(file):
        try:
            return _checked(connect(url), url, resources)
        except StoreError as error:
            if file is None or not only_readable(file, error):
                raise
    return open_read_only(url, file, resources)


def open_read_only(url: URL, file: Path, resources: ExitStack) -> Engine:
    """Return an engine that only reads the SQLite store in ``file``, from a temporary copy if necessary."""
    try:
        return _checked(connect_read_only(url, file, immutable=False), url, resources)
    except StoreError as error:
        if not cannot_write(error):
            raise
    if has_journal(file):
        file = resources.enter_context(temporary_copy(file))
        return _checked(connect_to_copy(file), url, resources)
    return _checked(connect_read_only(url, file, immutable=True), url, resources)


def open_current(url: URL, file: Path, resources: ExitStack) -> Engine:
    """Return an engine that only reads the SQLite store in ``file``, or an upgraded copy of an older one."""
    engine = open_read_only(url, file, resources)
    with reported(shown(url)), engine.connect() as connection:
        revision = schema.revision(connection)
    if revision == schema.HEAD:
        return engine
    schema.missing(revision, url)  # refuses a newer store before it is copied
    _log.warning("the run store %s has schema %s and is only read: a copy of it is upgraded", file, revision)
    engine = _upgraded(url, resources.enter_context(temporary_copy(file)))
    resources.callback(engine.dispose)
    return engine


def _upgraded(url: URL, copy: Path) -> Engine:
    engine = connect(URL.create("sqlite", database=str(copy)))
    try:
        with reported(shown(url)):
            schema.migrate(engine, back_up=False)
    finally:
        engine.dispose()
    return connect_to_copy(copy)


def has_journal(file: Path) -> bool:
    """Return whether transactions of an SQLite file are in a journal next to it."""
    journals = [file.with_name(file.name + suffix) for suffix in _JOURNALS]
    return any(journal.exists() and journal.stat().st_size for journal in journals)


def connect_to_copy(file: Path) -> Engine:
    """Return an engine that only reads a temporary copy, in which writing would be lost."""
    return refuse_writes(connect(URL.create("sqlite", database=str(file))))


@contextmanager
def temporary_copy(file: Path) -> Iterator[Path]:
    """Yield a copy of an SQLite file, with its journals, in a temporary folder. Raises StoreError."""
    with tempfile.TemporaryDirectory(prefix="micl-", ignore_cleanup_errors=True) as folder:
        copy = Path(folder) / file.name
        try:
            for suffix in ("", *_JOURNALS):
                source = file.with_name(file.name + suffix)
                if source.exists():
                    shutil.copyfile(source, copy.with_name(copy.name + suffix))
        except OSError as error:
            hint = "Free space in the folder for temporary files, or set TMPDIR to another one."
            raise StoreError(f"the run store {file} cannot be copied to read it: {error.strerror}", hint) from error
        yield copy


def _checked(engine: Engine, url: URL, resources: ExitStack) -> Engine:
    """Return ``engine`` after a first query, since SQLite opens its file late."""
    resources.callback(engine.dispose)
    with reported(shown(url)):
        inspect(engine).get_table_names()
    return engine
