"""What a report tells of a run, as plain values that know no database."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from micl_cli.api.events import CHOICES
from micl_cli.report.kinds import Kinds, forgetting_kinds
from micl_cli.report.matrix import Row, Rows, ScoreMatrix, figures
from micl_cli.report.routing import Routing, RoutingRow, routing_of


@dataclass(frozen=True, kw_only=True)
class StageCost:
    """One stage: the tasks learnt together, and what that took.

    ``position`` is 1-based; ``peak_bytes`` is the memory at its highest, ``stored_bytes`` what
    the checkpoint takes on disk.
    """

    position: int
    tasks: Sequence[str]
    status: str
    steps: int
    examples: int
    seconds: float
    peak_bytes: int
    trainable_parameters: int
    stored_bytes: int


@dataclass(frozen=True, kw_only=True)
class Cost:
    """A run's totals: seconds summed, the highest peak and number of weights, the last checkpoint."""

    seconds: float
    peak_bytes: int
    trainable_parameters: int
    stored_bytes: int


@dataclass(frozen=True, kw_only=True)
class ScoreRow:
    """``task`` scored by ``metric`` on ``n`` examples of ``split`` after stage ``after`` (0: zero-shot).

    ``value`` is x100, None where there was no finite number; ``main`` marks the task's own metric.
    """

    after: int
    task: str
    metric: str
    value: float | None
    n: int
    split: str = "test"
    main: bool = True


@dataclass(frozen=True, kw_only=True)
class RunData:
    """A run. ``tasks`` are full names in the order of learning, ``extra`` further figures by name.

    ``matrix`` has one row a task learnt and one score (x100) a task, None where not measured;
    ``zero_shot`` the scores before any learning, both measured on ``split``.
    :func:`score_matrix` makes both from scores. ``settings`` are the plan's by dotted name, without
    tasks, seed, attempt and names, and ``data`` its tasks' sha256: runs of one strategy with the same
    of both and the same order differ in seed or attempt alone. ``weights_bytes`` is what the frozen
    weights take in memory, 0 where that is not known.
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
    stages: Sequence[StageCost] = ()
    scores: Sequence[ScoreRow] = ()
    routings: Sequence[RoutingRow] = ()
    extra: Mapping[str, float] = field(default_factory=dict)
    settings: Mapping[str, str] = field(default_factory=dict)
    data: Mapping[str, str] = field(default_factory=dict)
    split: str = "test"
    weights_bytes: int = 0

    @cached_property
    def r(self) -> ScoreMatrix:
        """The scores as the formulas take them."""
        return ScoreMatrix(self.matrix, self.zero_shot, len(self.tasks))

    def in_matrix(self, score: ScoreRow) -> bool:
        """Whether ``score`` stands in R: the task's own metric on the run's split."""
        return score.main and score.split == self.split

    @cached_property
    def metrics(self) -> dict[str, float | None]:
        """Every continual-learning figure by name (see :data:`micl_cli.report.matrix.FIGURES`)."""
        return figures(self.r)

    @cached_property
    def kinds(self) -> list[Kinds]:
        """What was forgotten, format apart from knowledge, where scores by choices were taken."""
        chosen = [replace(score, main=True) for score in self.scores if score.metric == CHOICES]
        rows, _ = score_matrix(self.tasks, self.stages, chosen, self.split)
        return forgetting_kinds(self.tasks, self.r, ScoreMatrix(rows, None, len(self.tasks)))

    @cached_property
    def routing(self) -> Routing | None:
        """How examples were routed after the last stage; None where nothing was."""
        own = [row for row in self.routings if row.split == self.split]
        last = max((row.after for row in own), default=0)
        return routing_of([row for row in own if row.after == last], self.tasks)

    @property
    def cost(self) -> Cost:
        """The totals over all stages; zeros before the first."""
        stored = [stage.stored_bytes for stage in self.stages if stage.stored_bytes]
        return Cost(
            seconds=math.fsum(stage.seconds for stage in self.stages),
            peak_bytes=max((stage.peak_bytes for stage in self.stages), default=0),
            trainable_parameters=max((stage.trainable_parameters for stage in self.stages), default=0),
            stored_bytes=stored[-1] if stored else 0,
        )


def gap_to_oracle(run: RunData, runs: Sequence[RunData]) -> float | None:
    """How far ``run``'s MFN is below that of the oracle's run among ``runs``: the same tasks, seed and split."""
    for other in runs:
        oracle = other.routing and other.routing.router == "oracle"
        same = (other.tasks, other.seed, other.backbone, other.split) == (run.tasks, run.seed, run.backbone, run.split)
        best, own = other.metrics["mfn"], run.metrics["mfn"]
        if oracle and same and best is not None and own is not None:
            return best - own
    return None


def score_matrix(
    tasks: Sequence[str], stages: Sequence[StageCost], scores: Sequence[ScoreRow], split: str = "test"
) -> tuple[list[list[float | None]], list[float | None] | None]:
    """Return R [T][T] and the zero-shot row (None where not measured) from the main scores of ``split``.

    The scores after a stage stand in the row of its last task, so that joint learning, one stage
    with all tasks, fills the last row alone.
    """
    rows: list[list[float | None]] = [[None] * len(tasks) for _ in range(len(tasks) + 1)]
    row_after = {0: 0}
    for stage in stages:
        if known := [tasks.index(task) + 1 for task in stage.tasks if task in tasks]:
            row_after[stage.position] = max(known)
    for score in scores:
        if score.main and score.split == split and score.task in tasks and score.after in row_after:
            rows[row_after[score.after]][tasks.index(score.task)] = score.value
    zero_shot = rows[0] if any(value is not None for value in rows[0]) else None
    return rows[1:], zero_shot
