"""What killed processes have left in a home folder: half-written files under temporary names."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from micl_cli.io.lock import is_held, is_locked
from micl_cli.io.removal import Remaining, remove, size
from micl_cli.settings import Settings

_PROCESS = re.compile(r"\.(?P<process>\d+)\.new", re.ASCII)
_BACKUP_SECONDS = 60.0
"""Seconds after which the partial backup of a store is not being written any more."""


class Leftover(NamedTuple):
    """A half-written file or folder, with its size."""

    path: Path
    bytes: int


def leftovers(settings: Settings) -> list[Leftover]:
    """Return the files and folders that killed processes have left; those of running processes are left out."""
    return [Leftover(path, size(path)) for path in sorted(set(_candidates(settings))) if not _in_use(path)]


def remove_leftovers(settings: Settings) -> list[Remaining]:
    """Remove what killed processes have left, and return what could not be removed."""
    return [remaining for leftover in leftovers(settings) for remaining in remove(leftover.path)]


def _candidates(settings: Settings) -> Iterator[Path]:
    for run in _folders(settings.runs):
        if not is_held(run):
            yield from run.glob(".*.new")
            yield from run.glob("*/.*.new")
    yield from settings.features.glob("*/*.new")
    yield from (settings.home / "digests").glob(".*.new")
    for fetched in (*_folders(settings.home / "weights"), *_folders(settings.downloads)):
        if not is_locked(fetched / ".lock"):  # an interrupted download (*.part) is resumed: it is not a leftover
            yield from (*fetched.glob("*.new"), *fetched.glob(".*.new"))
    for path in settings.tasks.glob("*/.*.new"):
        if not is_locked(path.with_name(path.name.removesuffix(".new") + ".lock")):
            yield path
    yield from (path for path in settings.home.glob("micl-*.db.part*") if _age(path) > _BACKUP_SECONDS)


def _folders(folder: Path) -> Iterator[Path]:
    with suppress(OSError):
        yield from (path for path in folder.iterdir() if path.is_dir() and not path.is_symlink())


def _age(path: Path) -> float:
    try:
        return time.time() - path.lstat().st_mtime
    except OSError:
        return 0.0


def _in_use(path: Path) -> bool:
    """Return whether the process whose id is in a temporary name is running on this machine."""
    match = _PROCESS.search(path.name)
    if not match or os.name != "posix":
        return False
    try:
        os.kill(int(match["process"]), 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True
