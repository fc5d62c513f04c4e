"""A sweep at work: cells go to processes, what comes back is told, and a stop keeps what is learnt."""

from __future__ import annotations

import os
import sys
import time
from collections import deque
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from micl_cli.cli.console import echo, echo_json_line, escape, manner, note
from micl_cli.cli.learn import stopping
from micl_cli.errors import Interrupted, MiclError
from micl_cli.sweep.processes import Crew, Ended

if TYPE_CHECKING:
    from tqdm import tqdm

    from micl_cli.session import Session
    from micl_cli.sweep.grid import Cell

_BAR = "{desc} |{bar}| {percentage:3.0f} % [{elapsed}<{remaining}]"
_POLL = 0.2  # seconds between looks at whether a stop was asked for


class Work:
    """The grid while it is being learnt, ``jobs`` cells at a time.

    ``flags`` are those of ``micl sweep`` that say how runs are made: device, threads,
    save_seconds, save_predictions.
    """

    def __init__(
        self, session: Session, cells: Sequence[Cell], jobs: int, flags: Mapping[str, Any], as_json: bool
    ) -> None:
        self.session, self.jobs, self.flags, self.as_json = session, jobs, flags, as_json
        self.cells = {cell.plan.id: cell for cell in cells}
        self.status: dict[str, str] = {}
        self._begun: dict[str, float] = {}
        self._learnt = dict.fromkeys(self.cells, 0)
        self._shown = dict.fromkeys(self.cells, 0.0)
        self._stage = dict.fromkeys(self.cells, (0, 1))
        self._bar: tqdm[Any] | None = None

    def run(self) -> None:
        """Learn what is not learnt. Raises Interrupted, or MiclError where a cell failed."""
        waiting = deque(self.cells.values())
        try:
            self._draw()
            with stopping() as stop, Crew(self.jobs) as crew:
                while waiting or len(crew):
                    if stop():
                        waiting.clear()
                    self._fill(crew, waiting)
                    self._hear(crew, stopped=stop())
                interrupted = stop()
        finally:
            if self._bar is not None:
                self._bar.close()
        if interrupted:
            raise Interrupted("interrupted; what is learnt is kept", "Go on with the same command.")
        self._sum_up()

    def _fill(self, crew: Crew, waiting: deque[Cell]) -> None:
        """Start processes for what waits while there is room; what is done or taken needs none."""
        from micl_cli.sweep.grid import state_of

        while waiting and len(crew) < self.jobs:
            cell = waiting.popleft()
            with self.session.store() as store:
                state = state_of(cell, store, self.session.settings)
            if state in ("finished", "busy"):
                self._tell(cell, state)
                continue
            self._begun[cell.plan.id] = time.monotonic()
            crew.start(self._task(cell, state == "new"))

    def _task(self, cell: Cell, new: bool) -> dict[str, Any]:
        own = {name: self.flags[name] for name in ("device", "save_seconds", "save_predictions")}
        threads = self._threads(cell, new)
        return {"run": cell.plan.id, "plan": cell.plan.as_json(), "threads": threads, "debug": manner.debug, **own}

    def _threads(self, cell: Cell, new: bool) -> int:
        """A process's share; 0 is what suits the backbone, or what the run began with."""
        asked: int = self.flags["threads"]
        if not asked and (self.jobs == 1 or not new):
            return 0
        share = max(1, (asked or os.cpu_count() or 1) // self.jobs)
        return share if asked else min(share, self.session.suiting_threads(cell.plan) or share)

    def _hear(self, crew: Crew, stopped: bool) -> None:
        if stopped:
            crew.stop()
        if not len(crew):
            return
        news = crew.news(_POLL)
        if isinstance(news, Ended):
            stopped = stopped and news.code < 0  # it ended before it could listen
            self._tell(self.cells[news.run], "interrupted" if stopped else news.status, news.error)
        elif news is not None:
            self._advance(self.cells[news.run], news.event)

    # What is told

    def _tell(self, cell: Cell, status: str, error: str = "") -> None:
        """A cell is over, for this time."""
        self.status[cell.plan.id] = status
        seconds, figures = self._result(cell, status)
        if self.as_json:
            told = {"event": "cell", **cell.as_json(), "status": status, **figures, "seconds": round(seconds, 3)}
            echo_json_line({**told, "error": error} if status == "failed" else told)
        done = f"{len(self.status)}/{len(self.cells)} {cell.title}: "
        if status == "finished":
            past = "" if cell.plan.id in self._begun else ", finished before"
            done += f"MFN {_score(figures['mfn'])}, BWT {_score(figures['bwt'])} ({seconds:.0f} s{past})"
        else:
            done += f"failed: {error}" if status == "failed" else status
        self._say(done)
        self._show(cell, len(cell.plan.tasks))

    def _result(self, cell: Cell, status: str) -> tuple[float, dict[str, float | None]]:
        """(seconds, {"mfn", "bwt"}): the run's seconds of learning, or those that this command spent on it."""
        run = cell.plan.id
        if status != "finished":
            return time.monotonic() - self._begun.get(run, time.monotonic()), {"mfn": None, "bwt": None}
        data = self.session.report(run)
        return data.cost.seconds, {name: data.metrics[name] for name in ("mfn", "bwt")}

    def _sum_up(self) -> None:
        runs = {s: [run for run in self.cells if self.status[run] == s] for s in ("finished", "busy", "failed")}
        if not self.as_json:
            for run in runs["finished"]:
                echo(run)
        if runs["busy"]:
            note(f"{len(runs['busy'])} cells are busy: another process or machine has them; try again later")
        if not runs["failed"]:
            return
        hint = f"The same command tries them again, and leaves the {len(runs['finished'])} finished ones as they are."
        raise MiclError(f"{len(runs['failed'])} of {len(self.cells)} cells failed", hint)

    def _draw(self) -> None:
        if self.as_json or manner.quiet or not sys.stderr.isatty():
            return
        from tqdm import tqdm

        total = sum(len(cell.plan.tasks) for cell in self.cells.values())
        self._bar = tqdm(total=total, desc=self._count(), bar_format=_BAR, smoothing=0.02, leave=False, file=sys.stderr)

    def _count(self) -> str:
        return f"{len(self.status)}/{len(self.cells)} cells"

    def _advance(self, cell: Cell, event: Mapping[str, Any]) -> None:
        """Move the bar: a stage counts by its tasks, and within it by its steps."""
        run = cell.plan.id
        if event["event"] == "task_started":
            self._stage[run] = len(event["tasks"]), max(1, event["steps_planned"])
        elif event["event"] == "step":
            tasks, steps = self._stage[run]
            self._show(cell, self._learnt[run] + tasks * event["step"] / steps)
        elif event["event"] == "task_learned":
            self._learnt[run] += len(event["tasks"])
            self._show(cell, self._learnt[run])

    def _show(self, cell: Cell, learnt: float) -> None:
        """Show that so many tasks of a cell are learnt; one that is over counts whole."""
        before, now = self._shown[cell.plan.id], min(learnt, len(cell.plan.tasks))
        self._shown[cell.plan.id] = now
        if self._bar is not None:
            self._bar.set_description_str(self._count(), refresh=False)
            self._bar.update(now - before)

    def _say(self, text: str) -> None:
        if self.as_json or manner.quiet:
            return
        if self._bar is not None:
            self._bar.clear()
        click.echo(escape(text), err=True)
        if self._bar is not None:
            self._bar.refresh()


def _score(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"
