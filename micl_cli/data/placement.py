"""Where a prepared task is put: one process at a time, and the folder appears whole or not at all."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from micl_cli.api.task import Row, Task
from micl_cli.data.description import DESCRIPTION, MANIFEST, Description, description_text
from micl_cli.data.manifest import write_manifest
from micl_cli.data.prepared import RECORD, Record, open_task, read_record, write_record
from micl_cli.errors import MiclError, PlanError
from micl_cli.io.files import flush

if os.name == "posix":
    import fcntl


def check_free(name: str, target: Path, root: Path | None) -> Record | None:
    """Return the record of an earlier preparation of the same data, if any.

    Raises PlanError where the name belongs to other data that still exists, or where ``root``
    is itself a prepared task.
    """
    if root and root.is_relative_to(target.parents[1].resolve()):
        raise PlanError(f"{root} is a prepared task already", "Prepare the folder that it came from.")
    try:
        earlier = read_record(target)
    except PlanError:  # Damaged: to be prepared anew.
        return None
    if earlier is None or earlier.root == (str(root) if root else None):
        return earlier
    if earlier.root is None or (Path(earlier.root) / MANIFEST).exists():
        hint = f"Choose another name or benchmark in {DESCRIPTION}, or delete {target} to replace the former task."
        raise PlanError(f"{name} is already prepared from {earlier.root or 'the registered task of that name'}", hint)
    return None


def intact(name: str, home: Path) -> Task | None:
    """Return the task if it is prepared and unchanged."""
    try:
        return open_task(name, home)
    except PlanError:
        return None


def stamp(target: Path) -> tuple[int, int] | None:
    """Return what distinguishes one preparation from the next; None where there is none.

    A preparation that is about to be replaced or was interrupted while it was counts.
    """
    return _stamp(target) or _stamp(_former(target))


def _stamp(target: Path) -> tuple[int, int] | None:
    try:
        stat = (target / RECORD).stat()
    except OSError:
        return None
    return stat.st_ino, stat.st_mtime_ns


@contextmanager
def exclusive(target: Path) -> Iterator[None]:
    """Wait until no other process prepares the same task. Raises MiclError where the disk refuses."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.with_name(f".{target.name}.lock").open("a") as lock:
            if os.name == "posix":
                fcntl.flock(lock, fcntl.LOCK_EX)
            _restore_former(target)
            yield
    except OSError as error:
        hint = "Make room or make the folder writable, or choose another with --home or MICL_HOME."
        raise MiclError(f"cannot write {target}: {error.strerror or error}", hint) from error


@contextmanager
def fresh_folder(target: Path) -> Iterator[Path]:
    """Yield an empty folder beside ``target``; it is removed afterwards unless it took the target's place."""
    fresh = target.with_name(f".{target.name}.new")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir()
    try:
        yield fresh
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def replace_folder(fresh: Path, target: Path, description: Description, rows: Iterable[Row], record: Record) -> None:
    """Complete ``fresh`` and let it take the place of ``target``."""
    (fresh / DESCRIPTION).write_text(description_text(description), encoding="utf-8")
    write_manifest(fresh / MANIFEST, rows)
    write_record(fresh, record)
    # Media are not flushed one by one: open_task notices what a power cut spoils.
    for name in (DESCRIPTION, MANIFEST, RECORD):
        flush(fresh / name)
    old = _former(target)
    shutil.rmtree(old, ignore_errors=True)
    if target.exists():
        target.rename(old)
    try:
        fresh.rename(target)
    except OSError:
        _restore_former(target)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _former(target: Path) -> Path:
    return target.with_name(f".{target.name}.old")


def _restore_former(target: Path) -> None:
    """Undo the first half of an exchange that was interrupted."""
    if not target.exists() and _former(target).exists():
        _former(target).rename(target)
