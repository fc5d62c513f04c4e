"""Scheduling of a sweep: start cells up to a limit, and skip those that are finished or busy."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass

from micl_cli.session.notices import cite
from micl_cli.session.session import Session
from micl_cli.sweep.executor import CellEvent, ProcessExecutor, ProcessExit
from micl_cli.sweep.grid import Cell, CellState, cell_state
from micl_cli.sweep.worker import CellTask

_POLL_SECONDS = 0.2
"""The time between checks for a requested stop."""


@dataclass(frozen=True)
class CellStarted:
    """A process was started for a cell."""

    cell: Cell


@dataclass(frozen=True)
class CellEnded:
    """A cell ended for this sweep, as "finished", "busy", "interrupted" or "failed".

    ``killed`` is whether a signal ended its process: the run itself may be resumed.
    """

    cell: Cell
    status: str
    error: str = ""
    killed: bool = False


@dataclass(frozen=True)
class CellOptions:
    """Options for executing the runs of a sweep, without effect on their results."""

    jobs: int = 1
    device: str = "auto"
    threads: int = 0
    save_seconds: float = 5.0
    max_answers: int | None = 0
    listeners: tuple[str, ...] = ()
    group: str = ""
    debug: bool = False


def run_cells(
    session: Session, cells: Sequence[Cell], options: CellOptions, stop: Callable[[], bool]
) -> Generator[CellStarted | CellEvent | CellEnded, None, None]:
    """Learn the cells that are not finished, ``options.jobs`` at a time, and yield events.

    After ``stop`` returns True, no further cell is started, and running cells save their state and end.
    """
    yield from run_queue(session, deque(cells), options, stop)


def run_queue(
    session: Session, waiting: deque[Cell], options: CellOptions, stop: Callable[[], bool]
) -> Generator[CellStarted | CellEvent | CellEnded, None, None]:
    """Learn the ``waiting`` cells like :func:`run_cells`. The caller may append further ones after each event."""
    by_run: dict[str, Cell] = {}
    with ProcessExecutor(options.jobs) as executor:
        while waiting or len(executor):
            if stop():
                waiting.clear()
                executor.stop()
            while waiting and len(executor) < options.jobs:
                cell = waiting.popleft()
                by_run[cell.plan.id] = cell
                yield _start(session, executor, cell, options)
            message = executor.next_message(_POLL_SECONDS) if len(executor) else None
            if isinstance(message, ProcessExit):
                # The signal ended the process before it had installed its handler.
                interrupted = stop() and message.code < 0
                status = "interrupted" if interrupted else message.status
                yield CellEnded(by_run[message.run], status, message.error, killed=message.code < 0)
            elif message is not None:
                yield message


def _start(session: Session, executor: ProcessExecutor, cell: Cell, options: CellOptions) -> CellStarted | CellEnded:
    """Start a cell, unless it is finished or another process or machine works on it."""
    with session.store() as store:
        state = cell_state(cell, store, session.settings)
        if state == "finished":
            list(cite(store, store.run(cell.plan.id), cell.recipe))
    if state in ("finished", "busy"):
        return CellEnded(cell, state)
    executor.start(
        CellTask(
            run=cell.plan.id,
            plan=cell.plan.as_json(),
            home=str(session.settings.home),
            device=options.device,
            threads=_threads(session, cell, state, options),
            save_seconds=options.save_seconds,
            max_answers=options.max_answers,
            listeners=options.listeners,
            group=options.group,
            debug=options.debug,
            trusted=session.trusted,
            recipe=cell.recipe,
        )
    )
    return CellStarted(cell)


def _threads(session: Session, cell: Cell, state: CellState, options: CellOptions) -> int:
    """Return the number of threads of a process; 0 stands for the run's former number or the backbone's preference."""
    if not options.threads and (options.jobs == 1 or state != "new"):
        return 0
    share = max(1, (options.threads or os.cpu_count() or 1) // options.jobs)
    return share if options.threads else min(share, session.preferred_threads(cell.plan) or share)
