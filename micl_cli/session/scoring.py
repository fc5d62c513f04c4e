"""Scoring of prediction files, without loading a model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from micl_cli.api.resources import Resources
from micl_cli.api.sampling import subset
from micl_cli.data.predictions import By, OnProblem, match, read_predictions
from micl_cli.errors import PlanError, UsageError, nearest

if TYPE_CHECKING:
    from micl_cli.api.task import Task
    from micl_cli.session.library import TaskLibrary


@dataclass(frozen=True, kw_only=True)
class FileScore:
    """The score (x100) of a prediction file, the rule behind it, and further ``figures`` of the metric by name.

    ``missing`` of the ``n`` examples have no prediction and count as wrong; ``unknown`` and ``repeated`` predictions
    were skipped.
    """

    file: str
    task: str
    split: str
    metric: str
    version: int
    prompts: str
    scorer: str
    score: float
    n: int
    missing: int
    unknown: int
    repeated: int
    figures: Mapping[str, float]

    def as_json(self) -> dict[str, Any]:
        """Return JSON-ready fields."""
        return asdict(self)


def score_file(
    library: TaskLibrary,
    path: Path,
    name: str,
    *,
    split: str = "test",
    metric: str | None = None,
    scorer: str | None = None,
    by: By = "id",
    examples: int | None = None,
    on_problem: OnProblem = "fail",
) -> FileScore:
    """Score the predictions in a file on a prepared task, by its own metric unless ``metric`` or ``scorer`` is given.

    ``examples`` selects the subset of that size on which runs are scored. Raises PluginError, UsageError,
    PlanError, or ManifestError with file and line.
    """
    task = library.open_recorded(name)
    chosen = subset(task.examples(split), examples)
    if not chosen:
        raise PlanError(f"task {task.name} has no {split} examples", "Choose another --split.")
    metric = metric or (scorer_metric(library, task, scorer) if scorer else task.metric)
    settings = library.settings
    rule = Resources(settings.home, library.registry.load, settings.judge_model).metric(metric)
    matched = match(path, read_predictions(path), task, split, chosen, by, on_problem)
    result = rule.score_examples(matched.answers, chosen)
    return FileScore(
        file=str(path),
        task=task.name,
        split=split,
        metric=metric,
        version=rule.version,
        prompts=task.prompts,
        scorer=scorer or (task.scorer if metric == task.metric else ""),
        score=100 * result.value,
        n=len(chosen),
        missing=matched.missing,
        unknown=matched.unknown,
        repeated=matched.repeated,
        figures={name: 100 * value for name, value in result.figures.items()},
    )


def scorer_metric(library: TaskLibrary, task: Task, scorer: str) -> str:
    """Return the metric of a scorer variant of a published task. Raises UsageError if it has no such variant."""
    reader = library.registry.load("readers", task.source) if library.is_published(task.name) else None
    spec = reader.tasks.get(task.short) if reader else None
    scorers: Mapping[str, str] = spec.scorers if spec else {}
    if scorer not in scorers:
        known = f"{nearest(scorer, scorers)} It has: {', '.join(scorers) or 'none'}.".strip()
        raise UsageError(f"task {task.name} has no scorer variant {scorer!r}", known)
    return scorers[scorer]
