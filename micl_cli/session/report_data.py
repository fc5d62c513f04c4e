"""Data of a report beyond the scores of a run: types of tasks, scales of metrics, scores of single examples."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

from micl_cli.errors import PluginError, StoreError
from micl_cli.records import ScoreRecord
from micl_cli.registry import Registry
from micl_cli.report.data import RunData, Scale, matrix_rows
from micl_cli.store import Store

_ROUNDING = 1e-6


def with_task_facts(data: RunData, store: Store, registry: Registry) -> RunData:
    """Return the data of a run with the types of its tasks and the scales of their metrics, where they are known."""
    types: dict[str, str] = {}
    with suppress(StoreError):  # a damaged record of a task only hides its type
        types = {task.name: task.type for task in store.tasks() if task.name in data.tasks}
    return with_scales(replace(data, types=types), registry)


def with_scales(data: RunData, registry: Registry) -> RunData:
    """Return the data of a run with the scales of the metrics of its tasks, where they are known."""
    scales = {
        task: _scale(registry, [score for score in data.scores if score.task == task and data.in_matrix(score)])
        for task in data.latest
        if task in data.tasks
    }
    return replace(data, scales=scales)


def _scale(registry: Registry, scores: list[ScoreRecord]) -> Scale | None:
    """Return the scale of the metric that made the scores of a task.

    It is None if there are several metrics, if the plugin of the metric is missing, or if a score is not on the scale.
    """
    metrics = {score.metric for score in scores}
    if len(metrics) != 1:
        return None
    try:
        low, high = registry.load("metrics", metrics.pop()).scale
    except PluginError:
        return None
    values = [score.value for score in scores if score.value is not None]
    inside = all(100 * low - _ROUNDING <= value <= 100 * high + _ROUNDING for value in values)
    return (low, high) if inside else None


def with_example_scores(data: RunData, store: Store) -> RunData:
    """Return the data of a run with the stored scores of single examples of the run's split."""
    rows = matrix_rows(data.tasks, data.stages)
    stored = [each for each in store.prediction_sets(data.id) if each.split == data.split]
    examples = {
        (rows[each.after], each.task): {
            record.example: record.score for record in store.predictions(data.id, each.after, each.task, each.split)
        }
        for each in stored
        if rows.get(each.after) and each.task in data.tasks
    }
    return replace(data, examples=examples)
