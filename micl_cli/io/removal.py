"""Removal of files and folders that reports what could not be removed."""

from __future__ import annotations

import errno
import os
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

_NAMED = 3


class Remaining(NamedTuple):
    """A file or folder that could not be removed, and the reason."""

    path: Path
    reason: str


def remove(path: Path) -> list[Remaining]:
    """Remove a file, a folder with its content, or a link but not its target. Return what could not be removed.

    A file that cannot be removed does not stop the removal of the others. What does not exist is not an error.
    """
    remaining: list[Remaining] = []

    def record(function: Callable[..., Any], name: str, error: Any) -> None:
        cause = error[1] if isinstance(error, tuple) else error
        if not isinstance(cause, FileNotFoundError) and cause.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            remaining.append(Remaining(Path(name), cause.strerror or str(cause)))

    if path.is_symlink() or not path.is_dir():
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            record(os.unlink, str(path), error)
    else:
        handler: dict[str, Any] = {"onexc" if sys.version_info >= (3, 12) else "onerror": record}
        shutil.rmtree(path, **handler)
    return remaining


def listing(remaining: Sequence[Remaining]) -> str:
    """Return what remains as text: "2 files could not be removed: a (Permission denied), b (...)"."""
    count = f"{len(remaining)} files" if len(remaining) > 1 else "1 file"
    named = ", ".join(f"{each.path} ({each.reason})" for each in remaining[:_NAMED])
    more = f" and {len(remaining) - _NAMED} more" if len(remaining) > _NAMED else ""
    return f"{count} could not be removed: {named}{more}"


def size(path: Path) -> int:
    """Return the bytes of a file, or of all files in a folder; links count as nothing."""
    files = [path] if not path.is_dir() else path.rglob("*")
    return sum(_file_size(file) for file in files)


def _file_size(path: Path) -> int:
    try:
        return path.lstat().st_size if path.is_file() and not path.is_symlink() else 0
    except OSError:
        return 0
