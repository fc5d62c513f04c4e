"""The base of listeners that send runs to experiment trackers."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Annotated

from micl_cli.api import Event, Listener, RunFinished, RunInfo, RunStarted, TaskStarted
from micl_listeners.ledger import Ledger
from micl_listeners.series import Axis, Series

REPORT = "report.html"
MATRIX = "matrix"


class Tracker(Listener):
    """Sends losses, validations, scores, cost, configuration and the HTML report of a run to an experiment tracker.

    A resumed run continues the run of the tracker. A ledger says what was sent before: it is not sent again, and
    what the tracker does not have yet is sent from the run store.
    """

    def __init__(self, *, report: Annotated[bool, "add the HTML report when the run is finished"] = True) -> None:
        self.report = report
        self.series = Series()

    def start(self, run: RunInfo) -> str:
        """Open or continue the tracker's run, and return where it is shown."""
        self.run = run
        notice = self.open(run)
        self.ledger = Ledger(run.folder / "sent" / f"{run.id}.json", self.destination)
        return notice

    def consume(self, run: str, event: Event) -> None:
        """Send what an event adds."""
        if isinstance(event, RunStarted) and event.resumed_from:
            for earlier in self.run.history(*event.resumed_from):
                self._send(earlier)
        self._send(event)
        if isinstance(event, TaskStarted):
            self.describe_task(self.series.task, self.series.global_step(event.position, 1))
        if isinstance(event, RunFinished):
            self._finish(event.status)

    def _send(self, event: Event) -> None:
        for points in self.series.points(event):
            self._add(points.axis, points.at, points.values)

    def _add(self, axis: Axis, at: int, values: Mapping[str, float]) -> None:
        new = {name: value for name, value in values.items() if self.ledger.is_new(name, at)}
        if new:
            self.log(axis, at, new)
            self.ledger.add(new, at)
            if self.written:
                self.ledger.save()

    def _finish(self, status: str) -> None:
        try:
            if status == "finished":
                self._log_results()
        finally:  # a report that cannot be made must not leave the tracker's run open
            self.finish(status)
            self.ledger.save()

    def _log_results(self) -> None:
        figures = {f"figure/{name}": value for name, value in self.run.figures().items()}
        self._add("stage", self.series.last_stage, figures)
        self.log_table(MATRIX, *self.series.rows())
        if self.report:
            self.log_file(REPORT, self.run.report())

    @property
    def destination(self) -> str:
        """Names the place that the run is sent to, so that a ledger about another place is not used."""
        return ""

    @property
    def written(self) -> bool:
        """Whether everything that was logged has left this process."""
        return True

    @abstractmethod
    def open(self, run: RunInfo) -> str:
        """Open or continue the tracker's run, with its configuration. Returns where it is shown."""

    @abstractmethod
    def log(self, axis: Axis, at: int, values: Mapping[str, float]) -> None:
        """Log values of several series at a step of the whole sequence, or at a stage."""

    @abstractmethod
    def describe_task(self, task: str, step: int) -> None:
        """Show that a task is learnt from a step on."""

    @abstractmethod
    def log_table(self, name: str, columns: Sequence[str], rows: Sequence[Sequence[float | None]]) -> None:
        """Log a table."""

    @abstractmethod
    def log_file(self, name: str, text: str) -> None:
        """Add a text file to the run."""

    @abstractmethod
    def finish(self, status: str) -> None:
        """Send everything, and end the tracker's run with the status of the run."""
