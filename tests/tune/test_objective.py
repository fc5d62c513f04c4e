from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import pytest

from micl_cli.plan import Plan
from micl_cli.records import RunDetails, RunRecord, ScoreRecord, StageRecord
from micl_cli.tune.objective import objective_value


class Registry:
    """Knows two metrics: one whose highest score is 1, and one whose highest is 10."""

    def load(self, kind: str, name: str) -> Any:
        class Accuracy:
            scale: ClassVar[tuple[float, float]] = (0.0, 1.0)

        class Cider:
            scale: ClassVar[tuple[float, float]] = (0.0, 10.0)

        return {"accuracy": Accuracy, "cider": Cider}[name]


def details(rows: Sequence[Sequence[float | None]], joint: bool = False) -> RunDetails:
    """A run of own/cap (cider) and own/qa (accuracy) with the scores x100 after each task."""
    tasks = ("own/cap", "own/qa")
    plan = Plan(strategy="finetune", backbone="toy", tasks=tasks).as_json()
    run = RunRecord(
        id="r", parent=None, name="", plan=plan, environment={}, status="finished", started="", finished="", error=""
    )
    named: list[tuple[str, ...]] = [tasks] if joint else [tasks[:1], tasks[1:]]
    counts: dict[str, Any] = {"steps": 1, "examples": 1, "seconds": 1.0, "peak_bytes": 0, "trainable_parameters": 1}
    stages = [
        StageRecord(position=n, tasks=each, status="learned", stored_bytes=0, **counts)
        for n, each in enumerate(named, 1)
    ]
    return RunDetails(run=run, plugins=(), stages=tuple(stages), scores=tuple(scores(tasks, rows)))


def scores(tasks: Sequence[str], rows: Sequence[Sequence[float | None]]) -> Iterator[ScoreRecord]:
    for after, row in enumerate(rows, 1):
        for task, value in zip(tasks, row, strict=False):
            metric = "cider" if task == "own/cap" else "accuracy"
            yield ScoreRecord(after=after, task=task, metric=metric, value=value, n=4, split="val", version=1)
            yield ScoreRecord(after=after, task=task, metric=metric, value=0.0, n=4, split="test", version=1)


REGISTRY: Any = Registry()


def test_scores_are_shares_of_the_highest_possible_score_of_their_metric() -> None:
    run = details([[500.0], [200.0, 80.0]])
    assert objective_value(run, "final", REGISTRY) == pytest.approx((0.2 + 0.8) / 2)
    assert objective_value(run, "stages", REGISTRY) == pytest.approx((0.5 + (0.2 + 0.8) / 2) / 2)


def test_joint_learning_has_a_last_stage_only() -> None:
    run = details([[200.0, 80.0]], joint=True)
    assert objective_value(run, "stages", REGISTRY) == objective_value(run, "final", REGISTRY) == pytest.approx(0.5)


def test_a_score_of_zero_is_measured() -> None:
    assert objective_value(details([[0.0], [0.0, 100.0]]), "stages", REGISTRY) == pytest.approx(0.25)


def test_a_score_that_is_missing_or_not_finite_gives_no_value() -> None:
    assert objective_value(details([[500.0], [None, 80.0]]), "final", REGISTRY) is None
    assert objective_value(details([[500.0], [200.0]]), "final", REGISTRY) is None
    assert objective_value(details([[None], [200.0, 80.0]]), "final", REGISTRY) == pytest.approx(0.5)
