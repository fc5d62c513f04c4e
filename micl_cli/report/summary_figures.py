"""The figures of a summary, each a weighted sum of entries of R, relative to a reference or raw."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from micl_cli.api.task import CAPTIONING, CHOICE, QA
from micl_cli.report.data import RunData
from micl_cli.report.scales import mixed_scales, scales_by_metric
from micl_cli.report.vectors import Weights

TYPE_TITLES = {CAPTIONING: "captions", QA: "questions", CHOICE: "choices"}
"""The titles of columns with means over tasks of a type."""

RELATIVE_FINAL = "relative_final"


@dataclass(frozen=True)
class SummaryFigure:
    """A figure: its name in JSON, column title, and weights of the entries of R of a run.

    A ``relative`` figure has each entry in per cent of the reference's final score of that task.
    """

    name: str
    title: str
    weights: Callable[[RunData], Weights]
    relative: bool = False


def final_weights(run: RunData) -> Weights:
    """Return the weights of the mean final score: R[T][i]."""
    size = run.r.size
    return {(size, i): 1 / size for i in run.r.tasks}


def learning_weights(run: RunData) -> Weights:
    """Return the weights of the mean score right after learning each task: R[i][i]."""
    return {(i, i): 1 / run.r.size for i in run.r.tasks}


def average_weights(run: RunData) -> Weights:
    """Return the weights of the mean over stages of the mean score of the tasks learnt so far."""
    return {(t, i): 1 / (run.r.size * t) for t in run.r.tasks for i in range(1, t + 1)}


def backward_weights(run: RunData) -> Weights:
    """Return the weights of backward transfer: R[T][i] - R[i][i] for i < T."""
    size = run.r.size
    earlier = run.r.tasks[:-1]
    gains = {(size, i): 1 / (size - 1) for i in earlier}
    return gains | {(i, i): -1 / (size - 1) for i in earlier}


RELATIVE = (
    SummaryFigure(RELATIVE_FINAL, "final", final_weights, relative=True),
    SummaryFigure("relative_bwt", "BWT", backward_weights, relative=True),
    SummaryFigure("relative_learning", "learning", learning_weights, relative=True),
)
RAW = (
    SummaryFigure("mft", "MFT", learning_weights),
    SummaryFigure("mfn", "MFN", final_weights),
    SummaryFigure("maa", "MAA", average_weights),
    SummaryFigure("bwt", "BWT", backward_weights),
)
CHANGES = ("relative_bwt", "bwt")
"""The figures that are changes of scores, around 0."""


def final_figure(task: str) -> SummaryFigure:
    """Return the figure that is the final score of one task."""
    return SummaryFigure(f"final:{task}", task, partial(_final_of, task=task))


def relative_figure(task: str) -> SummaryFigure:
    """Return the figure that is the relative final score of one task."""
    return SummaryFigure(f"relative:{task}", task, partial(_final_of, task=task), relative=True)


def _final_of(run: RunData, task: str) -> Weights:
    return {(run.r.size, run.tasks.index(task) + 1): 1.0}


def type_figures(runs: Sequence[RunData]) -> tuple[list[SummaryFigure], list[str]]:
    """Return a figure for the mean final score over the tasks of each type, and notes on types that are left out.

    Scores are averaged only over equal scales. A task of unknown type belongs to those with the same metric.
    """
    groups: dict[str, list[str]] = {}
    for task in dict.fromkeys(task for run in runs for task in run.tasks):
        if name := _type_of(task, runs):
            groups.setdefault(name, []).append(task)
    figures, notes = [], []
    for name, tasks in groups.items():
        title = TYPE_TITLES.get(name, name)
        if mixture := mixed_scales(scales_by_metric(runs, tasks)):
            notes.append(f"No mean over {title} is shown: it {mixture}.")
        else:
            figures.append(SummaryFigure(f"mean_{name}", title, partial(_mean_over, tasks=tuple(tasks))))
    return figures, notes


def means_by_type(run: RunData) -> dict[str, float | None]:
    """Return the mean final score (x100) of a run over the tasks of each type, by the title of the type."""
    figures, _ = type_figures([run])
    return {figure.title: _value(run, figure.weights(run)) for figure in figures}


def _value(run: RunData, weights: Weights) -> float | None:
    terms = [(weight, run.r[t, i]) for (t, i), weight in weights.items()]
    scores = [weight * score for weight, score in terms if score is not None]
    return sum(scores) if len(scores) == len(terms) else None


def _type_of(task: str, runs: Sequence[RunData]) -> str:
    for run in runs:
        if task in run.types:
            return run.types[task]
    return next((run.latest[task].metric for run in runs if task in run.latest), "")


def _mean_over(run: RunData, tasks: Sequence[str]) -> Weights:
    return {(run.r.size, run.tasks.index(task) + 1): 1 / len(tasks) for task in tasks}
