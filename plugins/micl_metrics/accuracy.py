"""Accuracy of short answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from micl_cli.api import Metric, Score
from micl_metrics.answers import matches
from micl_metrics.words import mean, paired


class Accuracy(Metric):
    """The share of answers that equal one of their references, in 0..1.

    Both are normalised first (see :func:`micl_metrics.answers.normalise`). Empty answers are wrong, and an empty
    set scores 0.
    """

    name: ClassVar[str] = "accuracy"
    version: ClassVar[int] = 2
    task_types: ClassVar[frozenset[str]] = frozenset({"qa"})

    def score(self, answers: Sequence[str], references: Sequence[Sequence[str]]) -> Score:
        """Score answers. Raises ValueError on unequal lengths or an answer without reference."""
        each = tuple(float(matches(answer, texts) > 0) for answer, texts in paired(answers, references))
        return Score(mean(each), each)
