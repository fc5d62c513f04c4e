"""Lock files of runs and studies: only one process at a time may work on one."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from micl_cli.errors import BusyError, CheckpointError
from micl_cli.io.text import check_regular, open_regular

if os.name == "posix":
    import fcntl


@contextmanager
def locked_folder(folder: Path, subject: str = "", hint: str = "") -> Iterator[None]:
    """Hold the lock of a folder during the block. The operating system releases it if the process is killed.

    ``subject`` and ``hint`` are for the error message; by default they are those of a run.
    Raises BusyError with the id of the process that holds it, or CheckpointError if the folder is not writable.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = open_lock(folder / "lock")
    except OSError as error:
        raise CheckpointError(
            f"cannot write {error.filename or folder}: {error.strerror}",
            "Make the folder writable, or choose another with --home.",
        ) from error
    with file:
        if os.name == "posix" and not _acquire(file):
            file.seek(0)
            raise BusyError(
                f"process {file.read().strip() or 'another'} works on {subject or f'run {folder.name}'}",
                hint or "Wait for it, or stop it; --again starts another run of the same plan.",
            )
        with suppress(OSError):  # the id is only for messages, and a full disk must not prevent a removal
            os.ftruncate(file.fileno(), 0)
            os.write(file.fileno(), str(os.getpid()).encode())
        yield


def open_lock(path: Path) -> IO[str]:
    """Open a lock file, created if necessary. Raises OSError, also for a named pipe, which could block."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NONBLOCK", 0), 0o666)
    try:
        check_regular(descriptor, path)
    except OSError:
        os.close(descriptor)
        raise
    return os.fdopen(descriptor, "r+")


def _acquire(file: IO[str]) -> bool:
    """Try a few times to lock the file, since ``is_held`` also locks it briefly. Return whether that succeeded."""
    for wait in (0.05, 0.1, 0.0):
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            time.sleep(wait)
    return False


def is_held(folder: Path) -> bool:
    """Return whether a process on this machine holds the lock of a folder, or True if that is unknown."""
    return is_locked(folder / "lock")


def is_locked(path: Path) -> bool:
    """Return whether a process on this machine has locked a file, or True if that is unknown."""
    if os.name != "posix":
        return True
    try:
        with open_regular(path) as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return path.exists()
    return False
