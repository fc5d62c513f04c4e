"""Continual-learning figures, computed from the matrix R of scores.

R[t][i] is the score on task i after learning task t; both count from 1 to T. R[0] holds the scores before any learning
(zero-shot). Libraries disagree on the definitions, so each figure states its formula. A figure is None where it is
undefined (backward transfer of one task) or where a score that it needs was not measured.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

Row = Sequence[float | None]
Rows = Sequence[Row]


class ScoreMatrix:
    """The scores R, indexed as in the formulas: ``r[t, i]``, from 1; ``r[0, i]`` is zero-shot.

    ``rows`` holds one row per learnt task, with None (or nothing) where not measured; numbers that are not finite
    count as not measured. ``size`` is T: ``tasks``, or what the rows span where that is None.
    """

    def __init__(self, rows: Rows, zero_shot: Row | None = None, tasks: int | None = None) -> None:
        self.size = max([len(rows), *map(len, rows)]) if tasks is None else tasks
        self._rows = [zero_shot or (), *rows]

    def __getitem__(self, at: tuple[int, int]) -> float | None:
        after, task = at
        row = self._rows[after] if after < len(self._rows) else ()
        value = row[task - 1] if task <= len(row) else None
        return value if value is not None and math.isfinite(value) else None

    def rows(self) -> list[list[float | None]]:
        """Return T rows of T scores, None where not measured."""
        return [[self[t, i] for i in self.tasks] for t in self.tasks]

    @property
    def tasks(self) -> range:
        """The task numbers, 1 to T."""
        return range(1, self.size + 1)


def mft(r: ScoreMatrix) -> float | None:
    """Mean fine-tune score: of each task right after it was learnt (MLLM-CL, Zhao et al., arXiv 2506.05453)."""
    return _mean(r[i, i] for i in r.tasks)


def mfn(r: ScoreMatrix) -> float | None:
    """Mean final score: of every task after the last was learnt (arXiv 2506.05453)."""
    return _mean(r[r.size, i] for i in r.tasks)


def maa(r: ScoreMatrix) -> float | None:
    """Mean average score: the mean over the tasks seen, averaged over all stages (arXiv 2506.05453)."""
    return _mean(_mean(r[t, i] for i in range(1, t + 1)) for t in r.tasks)


def bwt(r: ScoreMatrix) -> float | None:
    """Backward transfer (Lopez-Paz and Ranzato 2017): what earlier tasks gained; negative with forgetting."""
    return _mean(_minus(r[r.size, i], r[i, i]) for i in r.tasks[:-1])


def forgetting(r: ScoreMatrix) -> float | None:
    """Average forgetting as MICL measures it (Pian et al., arXiv 2412.13050): -BWT."""
    return _mean(_minus(r[i, i], r[r.size, i]) for i in r.tasks[:-1])


def peak_forgetting(r: ScoreMatrix) -> float | None:
    """Forgetting from the best score of each earlier task (Chaudhry et al. 2018); never below ``forgetting``.

    Scores of a task before it was learnt count where measured; later ones must all be measured.
    """
    return _mean(_minus(_peak(r, i), r[r.size, i]) for i in r.tasks[:-1])


def fwt(r: ScoreMatrix) -> float | None:
    """Forward transfer (Lopez-Paz and Ranzato 2017): what earlier tasks contribute to one not learnt yet."""
    return _mean(_minus(r[i - 1, i], r[0, i]) for i in r.tasks[1:])


def _mean(values: Iterable[float | None]) -> float | None:
    """Return the mean; None where a value is missing, or there is none."""
    scores = list(values)
    known = [value for value in scores if value is not None]
    return sum(known) / len(known) if known and len(known) == len(scores) else None


def _minus(left: float | None, right: float | None) -> float | None:
    return None if left is None or right is None else left - right


def _peak(r: ScoreMatrix, task: int) -> float | None:
    if any(r[t, task] is None for t in range(task, r.size)):
        return None
    return max(score for t in range(1, r.size) if (score := r[t, task]) is not None)


@dataclass(frozen=True)
class Figure:
    """A figure: its name in JSON, its title, its formula over R and T, and its function."""

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
"""Every figure by name, in the order of reports."""


def figures(r: ScoreMatrix) -> dict[str, float | None]:
    """Return every figure of R by name; None where it is not defined or not measured."""
    return {name: figure.function(r) for name, figure in FIGURES.items()}
