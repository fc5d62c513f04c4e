"""Conversion of database errors to StoreErrors with a message and a hint."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import DBAPIError

from micl_cli.errors import StoreError

_ELSEWHERE = "set MICL_HOME to another folder"
# Matched by message, because Python 3.10 has no SQLite error codes.
_EXPLANATIONS = (
    ("not a database", "is not an SQLite database", f"Move the file away, or {_ELSEWHERE}."),
    ("malformed", "is damaged", f"Replace it by a backup from the same folder, or {_ELSEWHERE}."),
    ("readonly", "cannot be written to", f"Make the file and its folder writable, or {_ELSEWHERE}."),
    ("disk is full", "cannot grow: the disk is full", f"Free some space and try again, or {_ELSEWHERE}."),
    ("disk i/o error", "cannot be read or written (disk I/O error)", f"Check the disk and its space, or {_ELSEWHERE}."),
    ("unable to open", "cannot be opened", f"Check that the folder exists and is writable, or {_ELSEWHERE}."),
    ("constraint", "refuses a row that violates a constraint", "Run `micl store check`."),
    ("is locked", "is locked by another process", "Try again when that process has ended."),
)


def _explained(text: str) -> tuple[str, str]:
    for words, problem, hint in _EXPLANATIONS:
        if words in text.lower():
            return problem, hint
    return f"does not respond: {text}", "Check MICL_STORE and that its server runs, or see `micl store check`."


def _store_error(where: str, error: Exception) -> StoreError:
    """Return the StoreError for an error of the driver; ``where`` names the store."""
    cause = error.orig if isinstance(error, DBAPIError) and error.orig else error
    problem, hint = _explained(" ".join(str(cause).split()))
    return StoreError(f"the run store {where} {problem}", hint)


@contextmanager
def reported(where: str) -> Iterator[None]:
    """Raise StoreError for database errors within the block; ``where`` names the store."""
    try:
        yield
    except (DBAPIError, sqlite3.Error) as error:
        raise _store_error(where, error) from error
    except UnicodeEncodeError as error:
        raise StoreError(
            f"the run store {where} only accepts valid Unicode, not {error.object!r}",
            "Rename the file or task with this name.",
        ) from error
