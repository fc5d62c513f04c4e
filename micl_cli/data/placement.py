"""Placement of prepared tasks: by one process at a time, with atomic replacement of the folder."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from micl_cli.api.task import Row, Task
from micl_cli.data.description import DESCRIPTION, MANIFEST, Description, description_text
from micl_cli.data.manifest import write_manifest
from micl_cli.data.prepared import open_task
from micl_cli.data.record import RECORD, Record, read_record, write_record
from micl_cli.errors import MiclError, PlanError
from micl_cli.io.files import flush
from micl_cli.io.lock import open_lock

if os.name == "posix":
    import fcntl


def check_name_is_free(name: str, target: Path, root: Path | None) -> Record | None:
    """Return the record of an earlier preparation of the same data, if any.

    Raises PlanError if the name is used for other data that still exists, or if ``root``
    is itself a prepared task.
    """
    if root and root.is_relative_to(target.parents[1].resolve()):
        raise PlanError(f"{root} is already a prepared task", "Prepare the folder that it was made from.")
    try:
        earlier = read_record(target)
    except PlanError:  # damaged, and prepared again
        return None
    read_from = earlier.source.root if earlier and earlier.source else ""
    if earlier is None or (not read_from and earlier.root == (str(root) if root else None)):
        return earlier
    if read_from or earlier.root is None or (Path(earlier.root) / MANIFEST).exists():
        hint = f"Choose another name or benchmark in {DESCRIPTION}, or delete {target} to replace the earlier task."
        origin = read_from or earlier.root or "the registered task of that name"
        raise PlanError(f"{name} is already prepared from {origin}", hint)
    return None


def open_if_intact(name: str, home: Path) -> Task | None:
    """Return the task if it is prepared and unchanged, else None."""
    try:
        return open_task(name, home)
    except PlanError:
        return None


def stamp(target: Path) -> tuple[int, int] | None:
    """Return a value that changes with each preparation, or None if the task is not prepared.

    It also identifies a preparation that is being replaced, or whose replacement was interrupted.
    """
    return _record_stamp(target) or _record_stamp(_old_folder(target))


def _record_stamp(target: Path) -> tuple[int, int] | None:
    try:
        stat = (target / RECORD).stat()
    except OSError:
        return None
    return stat.st_ino, stat.st_mtime_ns


@contextmanager
def exclusive(target: Path) -> Iterator[None]:
    """Hold the lock of a task during the block, to prepare it in one process at a time.

    Raises MiclError if the disk is full or read-only.
    """
    with writable(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        with open_lock(target.with_name(f".{target.name}.lock")) as lock:
            if os.name == "posix":
                fcntl.flock(lock, fcntl.LOCK_EX)
            _restore_old(target)
            yield


@contextmanager
def writable(target: Path) -> Iterator[None]:
    """Convert an OSError of the block, which writes below the folder of prepared tasks, into a MiclError."""
    try:
        yield
    except OSError as error:
        hint = "Free disk space or make the folder writable, or choose another with --home or MICL_HOME."
        raise MiclError(f"cannot write {target}: {error.strerror or error}", hint) from error


@contextmanager
def fresh_folder(target: Path) -> Iterator[Path]:
    """Yield an empty folder next to ``target``. It is removed afterwards, unless it was renamed to ``target``."""
    fresh = target.with_name(f".{target.name}.new")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir()
    try:
        yield fresh
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def replace_folder(fresh: Path, target: Path, description: Description, rows: Iterable[Row], record: Record) -> None:
    """Write the description, manifest and record into ``fresh``, and replace ``target`` by it."""
    (fresh / DESCRIPTION).write_text(description_text(description), encoding="utf-8")
    write_manifest(fresh / MANIFEST, rows)
    write_record(fresh, record)
    # Media are not flushed one by one: open_task detects files that a power failure damaged.
    for name in (DESCRIPTION, MANIFEST, RECORD):
        flush(fresh / name)
    old = _old_folder(target)
    shutil.rmtree(old, ignore_errors=True)
    if target.exists():
        target.rename(old)
    try:
        fresh.rename(target)
    except OSError:
        _restore_old(target)
        raise
    shutil.rmtree(old, ignore_errors=True)


def journal_path(target: Path) -> Path:
    """Return the path of the journal from which an interrupted inspection is resumed."""
    return target.with_name(f".{target.name}.inspected")


def _old_folder(target: Path) -> Path:
    return target.with_name(f".{target.name}.old")


def _restore_old(target: Path) -> None:
    """Restore the old folder after a replacement that was interrupted between its two renames."""
    if not target.exists() and _old_folder(target).exists():
        _old_folder(target).rename(target)
