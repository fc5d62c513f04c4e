"""The objective of tuning: the validation scores of a run, each as a share of the highest possible score."""

from __future__ import annotations

from collections.abc import Sequence

from micl_cli.records import RunDetails
from micl_cli.registry import Registry
from micl_cli.report.data import RunData
from micl_cli.report.matrix import mean_if_complete
from micl_cli.session.recorder import run_data
from micl_cli.tune.records import SPLIT


def objective_value(details: RunDetails, objective: str, registry: Registry) -> float | None:
    """Return the objective of a finished run, or None if one of its scores is missing or not finite."""
    data = run_data(details, SPLIT)
    if data.mixed_rules:
        return None
    highest = [_highest(data, task, registry) for task in data.tasks]
    last = len(data.tasks)
    # Joint learning has no scores before its end.
    earlier = [row for row in range(1, last) if any(score is not None for score in data.matrix[row - 1])]
    rows = [last] if objective == "final" else [*earlier, last]
    return mean_if_complete([_share(data, row, highest) for row in rows])


def _share(data: RunData, row: int, highest: Sequence[float]) -> float | None:
    """Return the mean score after learning task ``row`` over the tasks learnt so far; all must be measured."""
    scores = [data.r[row, task] for task in range(1, row + 1)]
    return mean_if_complete([None if score is None else score / (100 * highest[i]) for i, score in enumerate(scores)])


def _highest(data: RunData, task: str, registry: Registry) -> float:
    """Return the highest possible score on a task, on the scale of its metric."""
    names = [score.metric for score in data.scores if score.task == task and data.is_main(score)]
    return float(registry.load("metrics", names[-1]).scale[1]) if names else 1.0
