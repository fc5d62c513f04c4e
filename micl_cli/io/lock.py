"""The lock file that lets one process at a time work on a run."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from micl_cli.errors import BusyError, CheckpointError

if os.name == "posix":
    import fcntl


@contextmanager
def only_one(folder: Path) -> Iterator[None]:
    """Hold the folder's lock during the block. The system releases it if the process is killed.

    Raises BusyError, with the id of the process that holds it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / "lock").open("a+")
    except OSError as error:
        raise CheckpointError(
            f"cannot write {folder}: {error.strerror}", "Make the folder writable, or choose another with --home."
        ) from error
    with file:
        if os.name == "posix" and not _locked(file):
            file.seek(0)
            raise BusyError(
                f"process {file.read().strip() or 'another'} works on run {folder.name}",
                "Wait for it, or stop it; --again makes another run of the same plan.",
            )
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


def _locked(file: IO[str]) -> bool:
    """Try to lock the file, a few times, since ``is_held`` locks it for a moment as well."""
    for wait in (0.05, 0.1, 0.0):
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            time.sleep(wait)
    return False


def is_held(folder: Path) -> bool:
    """Whether a process on this machine works on the folder; True if that cannot be known."""
    if os.name != "posix":
        return True
    try:
        with (folder / "lock").open() as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return (folder / "lock").exists()
    return False
