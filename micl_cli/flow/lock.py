"""One process on one run at a time."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from micl_cli.errors import BusyError, CheckpointError

if os.name == "posix":
    import fcntl


@contextmanager
def only_one(folder: Path) -> Iterator[None]:
    """Hold the folder's lock. The system lets go of it when the process ends, however it ends.

    Raises BusyError, naming the process that holds it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / "lock").open("a+")
    except OSError as error:
        raise CheckpointError(
            f"cannot write {folder}: {error.strerror}", "Make the folder writable, or choose another with --home."
        ) from error
    with file:
        if os.name == "posix":
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                file.seek(0)
                raise BusyError(
                    f"process {file.read().strip() or 'another'} works on run {folder.name}",
                    "Wait for it, or stop it; a second run of the same plan is made with --again.",
                ) from error
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield
