"""Removal of runs: first their files, which also makes room for the journal of the store, then their records."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from micl_cli.errors import BusyError, CheckpointError, StoreError
from micl_cli.io.lock import locked_folder
from micl_cli.io.removal import listing, remove
from micl_cli.store import Store, delete_in_little_space, holder_label, is_run_id, same_holder

if TYPE_CHECKING:
    from micl_cli.session.session import Session


def remove_run(session: Session, run_id: str, *, force: bool = False) -> None:
    """Remove a run's folder, then its records.

    A run whose files cannot all be removed stays in the store. Of an id that is not that of a run, as a damaged or
    foreign store may have, only the records are removed. Raises StoreError, BusyError if the run is in progress, or
    CheckpointError with the files that remain.
    """
    from micl_cli.session.lease import lease_holder

    holder = lease_holder(session.settings)
    with session.store_to_read() as store:
        store.check_deletable(run_id, force=force)
        _refuse_leased(store, run_id, holder)
    if is_run_id(run_id):
        _remove_folder(session.settings.runs / run_id)
    try:
        try:
            with session.store() as store:
                _refuse_leased(store, run_id, holder)
                store.delete_run(run_id, force=force)
        except StoreError as error:
            delete_in_little_space(session.settings.store_url, run_id, error)
    except StoreError as error:
        raise StoreError(
            f"the files of run {run_id} are removed, but it is still in the store: {error.message}",
            f"{error.hint} Then remove it again: micl runs rm {run_id}".strip(),
        ) from error


def _refuse_leased(store: Store, run_id: str, holder: str) -> None:
    """Raise BusyError if another machine or home folder works on a run."""
    other = store.lease_holder(run_id)
    if other is not None and not same_holder(other, holder):
        raise BusyError(f"{holder_label(other)} works on run {run_id}", "Wait until it ends, or stop it there.")


def _remove_folder(folder: Path) -> None:
    with _locked(folder):
        remaining = remove(folder)
    if remaining:
        raise CheckpointError(
            f"run {folder.name} was not removed: {listing(remaining)}",
            "It is still in the store. Make these files and their folders writable, then use the same command again.",
        )


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold the lock of a run's folder, unless there is none, or it is a link, whose target must not be changed."""
    if folder.is_symlink() or not folder.is_dir():
        yield
        return
    with locked_folder(folder):
        yield
