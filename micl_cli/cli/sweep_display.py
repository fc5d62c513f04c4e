"""The display of a sweep: a progress bar over all cells, and a line for each ended cell."""

from __future__ import annotations

import sys
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from micl_cli.cli.console import echo, escape, note, output
from micl_cli.errors import MiclError
from micl_cli.io.json_lines import write_json_line
from micl_cli.sweep.executor import CellEvent
from micl_cli.sweep.scheduler import CellEnded, CellStarted

if TYPE_CHECKING:
    from tqdm import tqdm

    from micl_cli.report.data import RunData
    from micl_cli.session import Session
    from micl_cli.sweep.grid import Cell

_BAR_FORMAT = "{desc} |{bar}| {percentage:3.0f} % [{elapsed}<{remaining}]"


class SweepDisplay:
    """The display of a sweep on stderr, or as JSON lines on stdout. The progress bar counts learnt tasks.

    ``total`` and ``tasks`` are the numbers of cells and of all their tasks, if not all cells are known yet.
    """

    def __init__(self, session: Session, cells: Sequence[Cell], as_json: bool, total: int = 0, tasks: int = 0) -> None:
        self.session, self.as_json, self.total = session, as_json, total or len(cells)
        self.cells = {cell.plan.id: cell for cell in cells}
        self.status: dict[str, str] = {}
        self._started: dict[str, float] = {}
        self._learnt: defaultdict[str, int] = defaultdict(int)
        self._shown: defaultdict[str, float] = defaultdict(float)
        self._stage: defaultdict[str, tuple[int, int]] = defaultdict(lambda: (0, 1))
        self._bar = self._new_bar(tasks or sum(len(cell.plan.tasks) for cell in cells))

    def consume(self, message: CellStarted | CellEvent | CellEnded) -> None:
        """Show an event of the sweep."""
        if not isinstance(message, CellEvent):
            self.cells.setdefault(message.cell.plan.id, message.cell)
        if isinstance(message, CellStarted):
            self._started[message.cell.plan.id] = time.monotonic()
            if self._bar is None:
                self.write_line(f"learning {message.cell.title}")
        elif isinstance(message, CellEvent):
            self._advance(self.cells[message.run], message.event)
        else:
            self._end(message.cell, message.status, message.error)

    def close(self) -> None:
        """Remove the progress bar."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def summarize(self) -> None:
        """Write the ids of the finished runs to stdout. Raises MiclError if a cell failed."""
        runs = {s: [run for run in self.cells if self.status[run] == s] for s in ("finished", "busy", "failed")}
        if not self.as_json:
            for run in runs["finished"]:
                echo(run)
        if runs["busy"]:
            note(f"{len(runs['busy'])} cells are busy: another process or machine works on them; try again later")
        if runs["failed"]:
            hint = f"The same command retries them and skips the {len(runs['finished'])} finished ones."
            raise MiclError(f"{len(runs['failed'])} of {len(self.cells)} cells failed", hint)

    # Cells that have ended

    def _end(self, cell: Cell, status: str, error: str) -> None:
        self.status[cell.plan.id] = status
        seconds, figures, shown = self._result(cell, status)
        if self.as_json:
            line = {"event": "cell", **cell.as_json(), "status": status, **figures, "seconds": round(seconds, 3)}
            write_json_line({**line, "error": error} if status == "failed" else line)
        text = f"{len(self.status)}/{self.total} {cell.title}: "
        if status == "finished":
            earlier = "" if cell.plan.id in self._started else ", finished earlier"
            text += f"{shown} ({seconds:.0f} s{earlier})"
        else:
            text += f"failed: {error}" if status == "failed" else status
        self.write_line(text)
        self._show(cell, len(cell.plan.tasks))

    def _result(self, cell: Cell, status: str) -> tuple[float, dict[str, float | None], str]:
        """Return the learning time of a cell (or the time of its process if not finished), its figures, and a text."""
        run = cell.plan.id
        if status != "finished":
            return time.monotonic() - self._started.get(run, time.monotonic()), {"mfn": None, "bwt": None}, ""
        data = self.session.report(run)
        return data.cost.seconds, {name: data.metrics[name] for name in ("mfn", "bwt")}, _figures(data)

    # The progress bar

    def _new_bar(self, tasks: int) -> tqdm[Any] | None:
        if self.as_json or output.quiet or not sys.stderr.isatty():
            return None
        from tqdm import tqdm

        form: dict[str, Any] = {"bar_format": _BAR_FORMAT, "smoothing": 0.02, "leave": False}
        return tqdm(total=tasks, desc=self._count(), file=sys.stderr, **form)

    def _count(self) -> str:
        return f"{len(self.status)}/{self.total} cells"

    def _advance(self, cell: Cell, event: Mapping[str, Any]) -> None:
        """Advance the bar: a stage counts as its tasks, and a step as its share of them."""
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
        """Show that ``learnt`` tasks of a cell are learnt."""
        before, now = self._shown[cell.plan.id], min(learnt, len(cell.plan.tasks))
        self._shown[cell.plan.id] = now
        if self._bar is not None:
            self._bar.set_description_str(self._count(), refresh=False)
            self._bar.update(now - before)

    def write_line(self, text: str) -> None:
        """Write a line above the progress bar."""
        if self.as_json or output.quiet:
            return
        if self._bar is not None:
            self._bar.clear()
        click.echo(escape(text), err=True)
        if self._bar is not None:
            self._bar.refresh()


def _figures(run: RunData) -> str:
    """Return MFN and BWT, or the mean final score of each type of task if means over all tasks mix scales."""
    from micl_cli.report.scales import mixture_of
    from micl_cli.report.summary_figures import means_by_type

    shown = {"MFN": run.metrics["mfn"], "BWT": run.metrics["bwt"]}
    if mixture_of(run):
        shown = means_by_type(run)
    return ", ".join(f"{title} {_score(value)}" for title, value in shown.items())


def _score(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"
