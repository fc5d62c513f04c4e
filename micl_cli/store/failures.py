"""Conversion of database errors to StoreErrors with a message and a hint."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import DBAPIError

from micl_cli.errors import StoreError

_ELSEWHERE = "set MICL_HOME to another folder"
_CHECK = f"`micl store check` lists what is missing. Replace it by a backup from the same folder, or {_ELSEWHERE}."
# Matched by message, because Python 3.10 has no SQLite error codes.
_EXPLANATIONS = (
    ("not a database", "is not an SQLite database", f"Move the file away, or {_ELSEWHERE}."),
    ("malformed", "is damaged", f"Replace it by a backup from the same folder, or {_ELSEWHERE}."),
    ("no such table", "is damaged: {text}", _CHECK),
    ("no such column", "is damaged: {text}", _CHECK),
    ("no column named", "is damaged: {text}", _CHECK),
    ("readonly", "cannot be written to", f"Make the file and its folder writable, or {_ELSEWHERE}."),
    ("disk is full", "cannot grow: the disk is full", f"Free some space and try again, or {_ELSEWHERE}."),
    ("disk i/o error", "cannot be read or written (disk I/O error)", f"Check the disk and its space, or {_ELSEWHERE}."),
    ("read-only file system", "cannot be written to", f"Make the file and its folder writable, or {_ELSEWHERE}."),
    ("unable to open", "cannot be opened", f"Check that the folder exists and is writable, or {_ELSEWHERE}."),
    ("constraint", "refuses a row that violates a constraint", "Run `micl store check`."),
    ("is locked", "is locked by another process", "Try again when that process has ended."),
)

_WRITE_PROBLEMS = ("readonly", "read-only", "disk is full", "disk i/o error", "unable to open")


def cannot_write(error: StoreError) -> bool:
    """Return whether a store could not be opened because SQLite cannot write to its file or folder."""
    text = str(_cause(error.__cause__)).lower() if error.__cause__ else ""
    return any(words in text for words in _WRITE_PROBLEMS)


def _cause(error: BaseException) -> BaseException:
    return error.orig if isinstance(error, DBAPIError) and error.orig else error


def _explained(text: str) -> tuple[str, str]:
    for words, problem, hint in _EXPLANATIONS:
        if words in text.lower():
            return problem.replace("{text}", text), hint
    return f"does not respond: {text}", "Check MICL_STORE and that its server runs, or see `micl store check`."


def _store_error(where: str, error: Exception) -> StoreError:
    """Return the StoreError for an error of the driver; ``where`` names the store."""
    problem, hint = _explained(" ".join(str(_cause(error)).split()))
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
