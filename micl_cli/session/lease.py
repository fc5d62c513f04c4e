"""Who works on a run: a lock file among the processes of a home folder, a claim in the store among machines."""

from __future__ import annotations

import platform
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from micl_cli.api.events import Event
from micl_cli.errors import BusyError, StoreError
from micl_cli.settings import Settings
from micl_cli.store import LEASE, Store


def holder_of(settings: Settings) -> str:
    """This machine and home folder, as a claim names them."""
    return f"{platform.node() or 'localhost'}:{settings.home.resolve()}"


def is_busy(run: str, store: Store, settings: Settings) -> bool:
    """Whether a process here works on a run, or one elsewhere does."""
    from micl_cli.io.lock import is_held

    if is_held(settings.runs / run):
        return True
    return store.holder(run) not in (None, holder_of(settings))  # a claim from here without a lock was killed


class Lease:
    """A claim to a run that is prolonged while work goes on; ``lost`` is set where another took it over."""

    def __init__(self, store: Store, run: str, holder: str) -> None:
        self.store, self.run, self.holder = store, run, holder
        self.lost: BusyError | None = None
        self._over = threading.Event()

    def keep(self) -> None:
        """Prolong the claim until told to stop. A store that does not answer is asked again."""
        while not self._over.wait(LEASE / 4):
            with suppress(StoreError):
                try:
                    self.store.claim(self.run, self.holder)
                except BusyError as busy:  # this machine slept for longer than the claim held
                    self.lost = busy
                    return

    def checked(self, events: Iterator[Event]) -> Iterator[Event]:
        """Pass events on while the run is ours. Raises BusyError."""
        for event in events:
            if self.lost:
                raise self.lost
            yield event

    def stop(self) -> None:
        """Tell ``keep`` to return."""
        self._over.set()


@contextmanager
def leased(run: str, store: Store, settings: Settings) -> Iterator[Lease]:
    """Hold a run for the length of the block. Raises BusyError where another machine has it."""
    claim = Lease(store, run, holder_of(settings))
    store.claim(run, claim.holder)
    keeper = threading.Thread(target=claim.keep, daemon=True)
    keeper.start()
    try:
        yield claim
    finally:
        claim.stop()
        keeper.join()
        with suppress(StoreError):
            store.release(run, claim.holder)
