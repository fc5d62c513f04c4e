"""The series of numbers that trackers show of a run, made from its events."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import singledispatchmethod
from typing import Literal

from micl_cli.api import Event, Routed, Scored, Step, TaskLearned, TaskStarted, Validated

Axis = Literal["step", "stage"]
COSTS = (
    *("seconds", "before_seconds", "after_seconds", "steps", "examples", "peak_bytes", "trainable_parameters"),
    "stored_bytes",
)
"""The fields of TaskLearned that are shown as cost."""


@dataclass(frozen=True)
class Points:
    """Values by the name of their series, at one place of an axis: a step of the whole sequence, or a stage."""

    axis: Axis
    at: int
    values: Mapping[str, float]


class Series:
    """Turns the events of a run into points.

    Steps are counted over the whole sequence. ``matrix`` holds the scores by the tasks' own metrics, by stage and task;
    ``task`` names what is learnt at present.
    """

    def __init__(self) -> None:
        self.matrix: dict[int, dict[str, float]] = {}
        self.task = ""
        self._steps: dict[int, int] = {}

    @property
    def last_stage(self) -> int:
        """The last stage with a score, or 0."""
        return max(self.matrix, default=0)

    def global_step(self, position: int, step: int) -> int:
        """Return the step of the whole sequence that a step of a stage is."""
        return sum(steps for stage, steps in self._steps.items() if stage < position) + step

    @singledispatchmethod
    def points(self, event: Event) -> Iterator[Points]:
        """Yield the points that an event adds. An event that is delivered again yields the same points."""
        yield from ()

    @points.register
    def _(self, event: TaskStarted) -> Iterator[Points]:
        self.task = ", ".join(event.tasks)
        yield Points("step", self.global_step(event.position, 1), {"train/stage": event.position})

    @points.register
    def _(self, event: Step) -> Iterator[Points]:
        self._steps[event.position] = max(event.step, self._steps.get(event.position, 0))
        values = {"train/loss": event.loss, "train/lr": event.lr, "train/epoch": event.epoch}
        values |= {"train/step_seconds": event.seconds}
        values |= {f"train/loss/{term}": value for term, value in event.terms.items()}
        yield Points("step", self.global_step(event.position, event.step), values)

    @points.register
    def _(self, event: Validated) -> Iterator[Points]:
        name = f"validation/{'final_' if event.final else ''}{event.criterion}"
        yield Points("step", self.global_step(event.position, event.step), {name: event.value})

    @points.register
    def _(self, event: TaskLearned) -> Iterator[Points]:
        self._steps[event.position] = event.steps
        yield Points("stage", event.position, {f"cost/{name}": getattr(event, name) for name in COSTS})

    @points.register
    def _(self, event: Scored) -> Iterator[Points]:
        name = f"score/{event.task}/{event.metric}"
        values: dict[str, float | None] = {
            name: event.value,
            **{f"{name}/{key}": value for key, value in event.figures.items()},
        }
        if event.main:
            self.matrix.setdefault(event.after, {})[event.task] = event.value
            values[f"R/{event.task}"] = event.value
        yield Points("stage", event.after, {key: value for key, value in values.items() if value is not None})

    @points.register
    def _(self, event: Routed) -> Iterator[Points]:
        right = 100 * event.chosen.get(event.task, 0) / max(event.n, 1)
        yield Points("stage", event.after, {f"routing/{event.task}": right})

    def rows(self) -> tuple[list[str], list[list[float | None]]]:
        """Return the matrix R as a table: its columns, and a row for each stage, with None where nothing was scored."""
        tasks = list(dict.fromkeys(task for scores in self.matrix.values() for task in scores))
        rows: list[list[float | None]] = [
            [stage, *(scores.get(task) for task in tasks)] for stage, scores in sorted(self.matrix.items())
        ]
        return ["after stage", *tasks], rows
