"""What a database says when it fails, in the user's words and with the way out."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import DBAPIError

from micl_cli.errors import StoreError

_ELSEWHERE = "set MICL_HOME to another folder"
# By words of the message, because Python 3.10 does not tell SQLite's error codes.
_KNOWN = (
    ("not a database", "is not an SQLite database", f"Move the file away, or {_ELSEWHERE}."),
    ("malformed", "is damaged", f"Put a backup in its place (they lie beside it), or {_ELSEWHERE}."),
    ("readonly", "cannot be written to", f"Make the file and its folder writable, or {_ELSEWHERE}."),
    ("disk is full", "cannot grow: the disk is full", f"Free some space and try again, or {_ELSEWHERE}."),
    ("disk i/o error", "cannot be read or written (disk I/O error)", f"Check the disk and its space, or {_ELSEWHERE}."),
    ("unable to open", "cannot be opened", f"Check that the folder exists and is writable, or {_ELSEWHERE}."),
    ("constraint", "refuses a row that does not fit the others", "Run `micl store check`."),
    ("is locked", "is held by another process", "Try again when that process has ended."),
)


def _told(text: str) -> tuple[str, str]:
    for words, what, hint in _KNOWN:
        if words in text.lower():
            return what, hint
    return f"does not answer: {text}", "Check MICL_STORE and that its server runs, or see `micl store check`."


def _store_error(where: str, error: Exception) -> StoreError:
    """The StoreError for what a driver raised; ``where`` names the store."""
    cause = error.orig if isinstance(error, DBAPIError) and error.orig else error
    what, hint = _told(" ".join(str(cause).split()))
    return StoreError(f"the run store {where} {what}", hint)


@contextmanager
def reported(where: str) -> Iterator[None]:
    """Turn database errors of the block into StoreError; ``where`` names the store."""
    try:
        yield
    except (DBAPIError, sqlite3.Error) as error:
        raise _store_error(where, error) from error
    except UnicodeEncodeError as error:
        raise StoreError(
            f"the run store {where} takes Unicode text only, not {error.object!r}",
            "Rename the file or the task that it comes from.",
        ) from error
