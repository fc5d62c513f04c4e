"""Removal of prepared tasks. The user's own folders and data sets are not touched."""

from __future__ import annotations

from typing import TYPE_CHECKING

from micl_cli.data.placement import exclusive
from micl_cli.data.prepared import prepared_tasks, task_folder
from micl_cli.errors import MiclError, PlanError, nearest
from micl_cli.io.removal import listing, remove

if TYPE_CHECKING:
    from micl_cli.session.session import Session

_NAMED = 5


def remove_task(session: Session, name: str, *, force: bool = False) -> None:
    """Remove a prepared task: its folder in the home, then its record in the store.

    Raises PlanError if it is not prepared, or if runs use it and ``force`` is not set; MiclError if files remain.
    """
    home = session.settings.home
    folder = task_folder(name, home)
    if not folder.is_dir():
        hint = f"{nearest(name, prepared_tasks(home))} `micl tasks` lists what is prepared.".strip()
        raise PlanError(f"{name} is not prepared", hint)
    if not force and (runs := users_of(session, name)):
        more = f" and {len(runs) - _NAMED} more" if len(runs) > _NAMED else ""
        raise PlanError(
            f"{name} is used by run {', '.join(runs[:_NAMED])}{more}, which cannot be resumed or scored without it",
            "Remove these runs first (micl runs rm), or use --force.",
        )
    with exclusive(folder):
        remaining = remove(folder)
    if remaining:
        hint = "Make these files and their folders writable, then use the same command again."
        raise MiclError(f"{name} was not removed: {listing(remaining)}", hint)
    with session.store() as store:
        store.forget_task(name)


def users_of(session: Session, name: str) -> list[str]:
    """Return the ids of the runs whose sequence contains a task."""
    return [run.id for run in session.runs() if name in run.plan.get("tasks", ())]
