"""The rows of the board: runs, sweeps and their cells, as values for programs and as texts for the page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

from micl_cli.board.progress import Progress
from micl_cli.io.characters import escape
from micl_cli.io.durations import duration_text
from micl_cli.records import RunRecord
from micl_cli.report.blocks import labels, number
from micl_cli.report.data import RunData
from micl_cli.report.scales import marked_number, mixture_of
from micl_cli.store import DAMAGED
from micl_cli.sweep.record import CellRecord, SweepRecord

WAITING = "waiting"
"""The state of a cell whose run has not started."""
CELL_STATES = ("finished", "running", WAITING, "interrupted", "failed", DAMAGED)
MAX_CELLS = 500
"""The largest number of cells of a sweep that are listed."""
_MAX_ERROR = 300


@dataclass(frozen=True)
class Shown:
    """A cell of a table: its text, and the value by which it is sorted, if that is another one.

    ``note`` stands below the text in small type, ``title`` is shown while the mouse is over it.
    """

    text: str
    sort: float | str | None = None
    note: str = ""
    title: str = ""

    def __post_init__(self) -> None:
        for name in ("text", "note", "title"):
            object.__setattr__(self, name, escape(getattr(self, name)))


@dataclass(frozen=True, kw_only=True)
class RunRow:
    """A run. Without ``progress`` its rows cannot be read, and there is no report of it."""

    record: RunRecord
    data: RunData | None = None
    progress: Progress | None = None

    @property
    def title(self) -> str:
        """The id of the run with its name."""
        name = self.record.name
        return escape(f"{self.record.id} {name}" if name else self.record.id)

    @cached_property
    def cells(self) -> dict[str, Shown]:
        """The cells of the table of runs by column."""
        plan, progress = self.record.plan, self.progress
        left = progress.seconds_left if progress and self.record.status == "running" else None
        loss = progress.loss if progress else None
        return {
            "state": Shown(self.record.status),
            "strategy": Shown(
                f"{plan.get('strategy', '')}", note=", ".join(labels([*map(str, plan.get("tasks", ()))]))
            ),
            "seed": Shown(f"{plan.get('seed', '')}"),
            "progress": Shown(self._progress(), progress.share if progress else None),
            "loss": Shown("" if loss is None else f"{loss:.3f}"),
            "left": Shown("" if left is None else f"about {duration_text(left)}", left),
            "scores": Shown(self._scores()),
            **{name: self._figure(value) for name, value in self.figures.items()},
            "started": Shown(_minutes(self.record.started), self.record.started),
            "tags": Shown(", ".join(self.record.tags)),
        }

    @property
    def figures(self) -> dict[str, float | None]:
        """The means over tasks that are shown."""
        return {name: self.data.metrics[name] if self.data else None for name in ("mfn", "bwt")}

    @cached_property
    def mixture(self) -> str:
        """The scales that the means over tasks mix, or an empty text."""
        return mixture_of(self.data) if self.data else ""

    def _figure(self, value: float | None) -> Shown:
        return Shown(marked_number(value, self.mixture), value, title="" if value is None else self.mixture)

    @property
    def scores(self) -> dict[str, float | None]:
        """The latest score of each task."""
        return {task: score.value for task, score in self.data.latest.items()} if self.data else {}

    def as_json(self) -> dict[str, Any]:
        """Return JSON-ready fields: values, and the ``cells`` of the page."""
        record, plan = self.record, self.record.plan
        return {
            "id": record.id,
            "name": record.name,
            "status": record.status,
            **{name: plan.get(name) for name in ("strategy", "backbone", "seed", "tasks")},
            "tags": list(record.tags),
            "started": record.started,
            "finished": record.finished,
            "error": record.error,
            "progress": asdict(self.progress) if self.progress else None,
            "scores": self.scores,
            **self.figures,
            "mixed_scales": self.mixture,
            "title": self.title,
            "report": self.progress is not None,
            "cells": {name: asdict(cell) for name, cell in self.cells.items()},
        }

    def _progress(self) -> str:
        """Return what a run does, or where it ended; that it finished is its state."""
        text = self.progress.phase if self.progress and self.record.status != "finished" else ""
        if self.record.error and self.record.status in ("failed", DAMAGED):
            text = f"{text}: {self.record.error}" if text else self.record.error
        return text if len(text) <= _MAX_ERROR else f"{text[:_MAX_ERROR]}…"

    def _scores(self) -> str:
        short = labels(list(self.scores))
        return ", ".join(f"{name} {number(value)}" for name, value in zip(short, self.scores.values(), strict=True))


@dataclass(frozen=True, kw_only=True)
class SweepRow:
    """A sweep with the states of its cells by run, which are those of the store, or WAITING."""

    record: SweepRecord
    states: Mapping[str, str] = field(default_factory=dict)

    @property
    def counts(self) -> dict[str, int]:
        """The number of cells by state, in the order of CELL_STATES."""
        counted = Counter(self.states.values())
        return {state: counted[state] for state in CELL_STATES if counted[state]}

    @property
    def title(self) -> str:
        """What the sweep compares."""
        cells = self.record.cells
        strategies = ", ".join(dict.fromkeys(cell.strategy for cell in cells))
        orders, seeds = len({cell.order for cell in cells}), len({cell.seed for cell in cells})
        return escape(f"{strategies}: {_count(orders, 'order')}, {_count(seeds, 'seed')}")

    @property
    def summary(self) -> str:
        """The number of cells by state as text."""
        total = len(self.record.cells)
        states = [f"{count} {state}" for state, count in self.counts.items() if state != "finished"]
        return ", ".join([f"{self.counts.get('finished', 0)} of {total} finished", *states])

    @property
    def finished(self) -> list[str]:
        """The runs of the finished cells."""
        return [cell.run for cell in self.record.cells if self.states[cell.run] == "finished"]

    @property
    def cells(self) -> list[tuple[str, bool, dict[str, Shown]]]:
        """The listed cells: the run, whether there is a report of it, and the cells of the table by column."""
        return [
            (cell.run, self.states[cell.run] not in (WAITING, DAMAGED), self._shown(cell))
            for cell in self.record.cells[:MAX_CELLS]
        ]

    def _shown(self, cell: CellRecord) -> dict[str, Shown]:
        texts = {"strategy": cell.strategy, "order": cell.order, "seed": f"{cell.seed}", "state": self.states[cell.run]}
        return {name: Shown(text) for name, text in texts.items()}

    @property
    def more(self) -> int:
        """The number of cells that are not listed."""
        return max(0, len(self.record.cells) - MAX_CELLS)

    def as_json(self) -> dict[str, Any]:
        """Return JSON-ready fields."""
        cells = [
            {"run": run, "report": report, "cells": {name: asdict(cell) for name, cell in shown.items()}}
            for run, report, shown in self.cells
        ]
        return {
            "id": self.record.id,
            "started": self.record.started,
            "title": self.title,
            "summary": self.summary,
            "counts": self.counts,
            "finished": self.finished,
            "cells": cells,
        }


@dataclass(frozen=True, kw_only=True)
class Board:
    """All that the board shows; ``older`` runs are not listed."""

    runs: Sequence[RunRow] = ()
    sweeps: Sequence[SweepRow] = ()
    older: int = 0

    def as_json(self) -> dict[str, Any]:
        """Return JSON-ready fields."""
        runs, sweeps = [row.as_json() for row in self.runs], [row.as_json() for row in self.sweeps]
        return {"runs": runs, "sweeps": sweeps, "older": self.older}


def _count(count: int, what: str) -> str:
    return f"{count} {what}{'s' * (count != 1)}"


def _minutes(time: str) -> str:
    """Return a time of the store without seconds and "T"."""
    return time[:16].replace("T", " ")
