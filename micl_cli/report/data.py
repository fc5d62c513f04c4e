"""The data of a run for reports, independent of the store."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from micl_cli.api.events import CHOICES
from micl_cli.records import EnvironmentRecord, RoutingRecord, ScoreRecord, StageRecord, ValidationRecord
from micl_cli.report.forgetting import ForgettingTypes, forgetting_types
from micl_cli.report.matrix import FIGURES, Row, Rows, ScoreMatrix, figures
from micl_cli.report.outside import OutsideTask, outside_tasks
from micl_cli.report.routing import Routing, routing_of
from micl_cli.report.rules import latest_scores, mixed_rules

Scale = tuple[float, float]
"""The lowest and the highest possible score of a metric, in the scale of its paper."""


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Totals of a run: sums of seconds, maxima of memory and trainable parameters, the size of the last checkpoint."""

    before_seconds: float = 0.0
    seconds: float
    after_seconds: float = 0.0
    peak_bytes: int
    trainable_parameters: int
    stored_bytes: int


def time_columns(costs: Iterable[StageRecord | Cost]) -> dict[str, str]:
    """Return the fields of seconds by column title; those of passes only if any of them took time."""
    every = list(costs)
    titles = {"before": "before_seconds", "seconds": "seconds", "after": "after_seconds"}
    measured = {field for field in titles.values() if any(getattr(cost, field) for cost in every)}
    return {title: field for title, field in titles.items() if field == "seconds" or field in measured}


@dataclass(frozen=True, kw_only=True)
class RunData:
    """A run. ``tasks`` are full names in the order of learning; ``extra`` holds figures of plugins by name.

    ``matrix`` has one row per learnt task and one score (x100) per task, None if not measured; ``zero_shot`` holds
    the scores before any learning. Both are for ``split`` and made by :func:`score_matrix`. ``settings`` are those of
    the plan by dotted name, without tasks, seed, attempt and names; ``data`` holds the sha256 by task. Runs of one
    strategy with equal settings, data and order differ only in seed or attempt. ``weights_bytes`` is the memory of
    the frozen weights, 0 if unknown; ``environment`` holds code, versions, device, number format and threads, made by
    :func:`merged_environment` from the ``environments`` in which the run was learnt and scored. ``plan`` is the plan as
    JSON-ready data; ``recipe`` holds name, sha256 and citation of the recipe that the run was started with.

    ``types`` holds the type of each task, ``scales`` the scale of its metric, where they are known. ``examples`` holds
    the scores (x100) of single test examples by example id, for each row of R (1 to T) and task of which answers are
    stored; None if they were not read.
    """

    id: str
    name: str
    strategy: str
    backbone: str
    seed: int
    status: str
    tasks: Sequence[str]
    matrix: Rows
    zero_shot: Row | None = None
    stages: Sequence[StageRecord] = ()
    scores: Sequence[ScoreRecord] = ()
    routings: Sequence[RoutingRecord] = ()
    extra: Mapping[str, float] = field(default_factory=dict)
    settings: Mapping[str, str] = field(default_factory=dict)
    data: Mapping[str, str] = field(default_factory=dict)
    split: str = "test"
    weights_bytes: int = 0
    environment: Mapping[str, str] = field(default_factory=dict)
    types: Mapping[str, str] = field(default_factory=dict)
    scales: Mapping[str, Scale | None] = field(default_factory=dict)
    examples: Mapping[tuple[int, str], Mapping[str, float | None]] | None = None
    environments: Sequence[EnvironmentRecord] = ()
    validations: Sequence[ValidationRecord] = ()
    plan: Mapping[str, Any] = field(default_factory=dict)
    recipe: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def r(self) -> ScoreMatrix:
        """The scores, indexed as in the formulas."""
        return ScoreMatrix(self.matrix, self.zero_shot, len(self.tasks))

    def in_matrix(self, score: ScoreRecord) -> bool:
        """Return whether ``score`` belongs to R: of a task of the run, by the task's own metric, on the run's split."""
        return score.task in self.tasks and self.is_main(score)

    def is_main(self, score: ScoreRecord) -> bool:
        """Return whether ``score`` was made by the task's own metric on the run's split."""
        return score.main and score.split == self.split

    @cached_property
    def metrics(self) -> dict[str, float | None]:
        """All continual-learning figures by name (see :data:`micl_cli.report.matrix.FIGURES`).

        All are undefined if a task has scores by different rules.
        """
        return dict.fromkeys(FIGURES) if self.mixed_rules else figures(self.r)

    @cached_property
    def mixed_rules(self) -> dict[str, dict[str, list[int]]]:
        """The tasks with scores by different rules, with the stages of each rule."""
        return mixed_rules(score for score in self.scores if self.in_matrix(score))

    @cached_property
    def outside(self) -> list[OutsideTask]:
        """The scored tasks outside the sequence."""
        return outside_tasks([s for s in self.scores if self.is_main(s) and s.task not in self.tasks])

    @cached_property
    def latest(self) -> dict[str, ScoreRecord]:
        """The score after the latest stage by task, of the sequence first, by the task's own metric."""
        latest = latest_scores(score for score in self.scores if self.is_main(score))
        return {task: latest[task] for task in dict.fromkeys((*self.tasks, *sorted(latest))) if task in latest}

    @cached_property
    def forgetting_types(self) -> list[ForgettingTypes]:
        """Superficial and essential forgetting, for tasks with scores by choices."""
        chosen = [replace(score, main=True) for score in self.scores if score.metric == CHOICES]
        rows, _ = score_matrix(self.tasks, self.stages, chosen, self.split)
        return forgetting_types(self.tasks, self.r, ScoreMatrix(rows, None, len(self.tasks)))

    @cached_property
    def routing(self) -> Routing | None:
        """The routing of the examples of the run's tasks after the last stage, or None without routing."""
        own = [row for row in self.routings if row.split == self.split and row.task in self.tasks]
        last = max((row.after for row in own), default=0)
        return routing_of([row for row in own if row.after == last], self.tasks)

    @property
    def cost(self) -> Cost:
        """The totals over all stages, or zeros if there are none."""
        stored = [stage.stored_bytes for stage in self.stages if stage.stored_bytes]
        return Cost(
            before_seconds=math.fsum(stage.before_seconds for stage in self.stages),
            seconds=math.fsum(stage.seconds for stage in self.stages),
            after_seconds=math.fsum(stage.after_seconds for stage in self.stages),
            peak_bytes=max((stage.peak_bytes for stage in self.stages), default=0),
            trainable_parameters=max((stage.trainable_parameters for stage in self.stages), default=0),
            stored_bytes=stored[-1] if stored else 0,
        )


UNKNOWN = "unknown"
"""Stands for code that was not recorded, as by earlier versions of micl."""
THEN = ", then "
"""Separates the values of an environment that changed during a run."""


def merged_environment(environments: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Return the entries of the environments of one run as text: "1, then 2" where they differ.

    The code of an environment without its digest is "unknown". The size of the weights is left out.
    """
    names = dict.fromkeys(name for each in environments for name in each)
    return {name: THEN.join(dict.fromkeys(_values(environments, name))) for name in names if name != "weights_bytes"}


def _values(environments: Sequence[Mapping[str, Any]], name: str) -> list[str]:
    default = UNKNOWN if name == "code" else None
    values = [each.get(name, default) for each in environments]
    return [f"{value}" for value in values if value is not None]


def score_matrix(
    tasks: Sequence[str], stages: Sequence[StageRecord], scores: Sequence[ScoreRecord], split: str = "test"
) -> tuple[list[list[float | None]], list[float | None] | None]:
    """Return R [T][T] and the zero-shot row (None if not measured) from the main scores of ``split``.

    The scores after a stage are in the row of its last task, so that joint learning (one stage with all tasks) has only
    the last row.
    """
    rows: list[list[float | None]] = [[None] * len(tasks) for _ in range(len(tasks) + 1)]
    row_after = matrix_rows(tasks, stages)
    for score in scores:
        if score.main and score.split == split and score.task in tasks and score.after in row_after:
            rows[row_after[score.after]][tasks.index(score.task)] = score.value
    zero_shot = rows[0] if any(value is not None for value in rows[0]) else None
    return rows[1:], zero_shot


def matrix_rows(tasks: Sequence[str], stages: Sequence[StageRecord]) -> dict[int, int]:
    """Return the row of R by position of a stage: the number of its last task; row 0 is before learning."""
    rows = {0: 0}
    for stage in stages:
        if numbers := [tasks.index(task) + 1 for task in stage.tasks if task in tasks]:
            rows[stage.position] = max(numbers)
    return rows
