"""Continual-learning figures, computed from the score matrix R.

R[t][i] is the score on task i after learning task t, with t and i from 1 to T. R[0] holds the scores before any
learning (zero-shot). Definitions differ between libraries, so each figure states its formula. A figure is None if it is
undefined (backward transfer of one task) or if a score that it needs was not measured.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

Row = Sequence[float | None]
Rows = Sequence[Row]


class ScoreMatrix:
    """The score matrix R, indexed as in the formulas: ``r[t, i]``, from 1; ``r[0, i]`` is zero-shot.

    ``rows`` has one row per learnt task. Missing, None and non-finite entries were not measured. ``size`` is T:
    ``tasks``, or the size that the rows need if that is None.
    """

    def __init__(self, rows: Rows, zero_shot: Row | None = None, tasks: int | None = None) -> None:
        self.size = max([len(rows), *map(len, rows)]) if tasks is None else tasks
        self._rows = [zero_shot or (), *rows]

    def __getitem__(self, index: tuple[int, int]) -> float | None:
        t, i = index
        row = self._rows[t] if t < len(self._rows) else ()
        value = row[i - 1] if i <= len(row) else None
        return value if value is not None and math.isfinite(value) else None

    def rows(self) -> list[list[float | None]]:
        """Return T rows of T scores, with None for scores that were not measured."""
        return [[self[t, i] for i in self.tasks] for t in self.tasks]

    @property
    def tasks(self) -> range:
        """The task numbers, 1 to T."""
        return range(1, self.size + 1)


def mft(r: ScoreMatrix) -> float | None:
    """Mean fine-tune score: the score of each task right after learning it (MLLM-CL, Zhao et al., arXiv 2506.05453)."""
    return mean_if_complete(r[i, i] for i in r.tasks)


def mfn(r: ScoreMatrix) -> float | None:
    """Mean final score: the score of each task after learning the last one (arXiv 2506.05453)."""
    return mean_if_complete(r[r.size, i] for i in r.tasks)


def maa(r: ScoreMatrix) -> float | None:
    """Mean average score: the mean score of the tasks learnt so far, averaged over all stages (arXiv 2506.05453)."""
    return mean_if_complete(mean_if_complete(r[t, i] for i in range(1, t + 1)) for t in r.tasks)


def bwt(r: ScoreMatrix) -> float | None:
    """Backward transfer: the gain on earlier tasks, negative with forgetting (Lopez-Paz and Ranzato 2017)."""
    return mean_if_complete(minus(r[r.size, i], r[i, i]) for i in r.tasks[:-1])


def forgetting(r: ScoreMatrix) -> float | None:
    """Average forgetting as defined by MICL (Pian et al., arXiv 2412.13050): -BWT."""
    return mean_if_complete(minus(r[i, i], r[r.size, i]) for i in r.tasks[:-1])


def peak_forgetting(r: ScoreMatrix) -> float | None:
    """Forgetting relative to the best score of each earlier task (Chaudhry et al. 2018); at least ``forgetting``.

    Scores of a task before it was learnt count if measured; all later ones must be measured.
    """
    return mean_if_complete(minus(_peak(r, i), r[r.size, i]) for i in r.tasks[:-1])


def fwt(r: ScoreMatrix) -> float | None:
    """Forward transfer: the gain on tasks before they are learnt, over zero-shot (Lopez-Paz and Ranzato 2017)."""
    return mean_if_complete(minus(r[i - 1, i], r[0, i]) for i in r.tasks[1:])


def mean_if_complete(values: Iterable[float | None]) -> float | None:
    """Return the mean, or None if a value is missing or there are no values."""
    scores = list(values)
    measured = [value for value in scores if value is not None]
    return sum(measured) / len(measured) if measured and len(measured) == len(scores) else None


def minus(left: float | None, right: float | None) -> float | None:
    """Return the difference of two values, or None if one is missing."""
    return None if left is None or right is None else left - right


def _peak(r: ScoreMatrix, task: int) -> float | None:
    if any(r[t, task] is None for t in range(task, r.size)):
        return None
    return max(score for t in range(1, r.size) if (score := r[t, task]) is not None)


@dataclass(frozen=True)
class Figure:
    """A figure: its name in JSON, title, formula over R and T, and function."""

    name: str
    title: str
    formula: str
    function: Callable[[ScoreMatrix], float | None]


_FIGURES = (
    Figure("mft", "mean fine-tune (MFT)", "mean over i of R[i][i]", mft),
    Figure("mfn", "mean final (MFN)", "mean over i of R[T][i]", mfn),
    Figure("maa", "mean average (MAA)", "mean over t of (mean over i <= t of R[t][i])", maa),
    Figure("bwt", "backward transfer (BWT)", "mean over i < T of (R[T][i] - R[i][i])", bwt),
    Figure("forgetting", "forgetting", "mean over i < T of (R[i][i] - R[T][i])", forgetting),
    Figure(
        "peak_forgetting",
        "peak forgetting",
        "mean over i < T of (max over t < T of R[t][i] - R[T][i])",
        peak_forgetting,
    ),
    Figure("fwt", "forward transfer (FWT)", "mean over i > 1 of (R[i-1][i] - R[0][i])", fwt),
)
FIGURES: Mapping[str, Figure] = {figure.name: figure for figure in _FIGURES}
"""All figures by name, in the order of reports."""


def figures(r: ScoreMatrix) -> dict[str, float | None]:
    """Return all figures of R by name; None if undefined or not measured."""
    return {name: figure.function(r) for name, figure in FIGURES.items()}
