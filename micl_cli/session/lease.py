"""Exclusive work on a run: a lock file between processes of a home folder, a lease in the store between machines."""

from __future__ import annotations

import platform
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from micl_cli.api.events import Event
from micl_cli.errors import BusyError, StoreError
from micl_cli.settings import Settings
from micl_cli.store import LEASE_SECONDS, Store, holder_name, same_holder


def lease_holder(settings: Settings) -> str:
    """Return the name of this machine and home folder in a lease.

    A home folder keeps its file number if it is renamed or moved, but a copy of it has another one.
    """
    return holder_name(platform.node() or "localhost", str(settings.home.resolve()), _file_number(settings.home))


def _file_number(folder: Path) -> str:
    try:
        stat = folder.stat()
    except OSError:
        return ""  # it does not exist yet
    return f"{stat.st_dev}-{stat.st_ino}"


def is_busy(run: str, store: Store, settings: Settings) -> bool:
    """Whether a process of this home folder, or another machine, works on a run."""
    from micl_cli.io.lock import is_held

    if is_held(settings.runs / run):
        return True
    # A lease of this home folder without a lock belongs to a process that was killed.
    holder = store.lease_holder(run)
    return holder is not None and not same_holder(holder, lease_holder(settings))


class Lease:
    """A lease on a run that is renewed in the background. ``lost`` is set if another machine took the run over."""

    def __init__(self, store: Store, run: str, holder: str) -> None:
        self.store, self.run, self.holder = store, run, holder
        self.lost: BusyError | None = None
        self._stopped = threading.Event()

    def renew(self) -> None:
        """Renew the lease until ``stop`` is called. Errors of the store are ignored until the next renewal."""
        while not self.lost and not self._stopped.wait(LEASE_SECONDS / 4):
            with suppress(StoreError):
                self.renew_once()

    def renew_once(self) -> None:
        """Renew the lease, or set ``lost``. Raises StoreError."""
        try:
            self.store.acquire_lease(self.run, self.holder, renew=True)
        except BusyError as busy:  # this machine was suspended for longer than the lease lasts
            self.lost = busy

    def guard(self, events: Iterator[Event]) -> Iterator[Event]:
        """Yield events while the lease is held. Raises BusyError."""
        for event in events:
            if self.lost:
                raise self.lost
            yield event

    def stop(self) -> None:
        """Let ``renew`` return."""
        self._stopped.set()


@contextmanager
def leased(run: str, store: Store, settings: Settings) -> Iterator[Lease]:
    """Hold a lease on a run during the block. Raises BusyError if another machine holds it."""
    lease = Lease(store, run, lease_holder(settings))
    store.acquire_lease(run, lease.holder)
    renewal = threading.Thread(target=lease.renew, daemon=True)
    renewal.start()
    try:
        yield lease
    finally:
        lease.stop()
        renewal.join()
        with suppress(StoreError):
            store.release_lease(run, lease.holder)
