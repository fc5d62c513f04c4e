"""Metrics: how answers are scored against references."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar, NamedTuple

SMALLEST = 1e-6
"""The smallest difference between scores that is not taken for rounding or smoothing."""


class Score(NamedTuple):
    """A corpus score, ``value``, and one score for each example, ``each``; higher is better.

    Both are on the scale of the metric's paper (accuracy in 0..1, CIDEr-D in 0..10);
    reports show them x100.
    """

    value: float
    each: tuple[float, ...]


class Metric(ABC):
    """Scores a list of answers against their references."""

    name: ClassVar[str]
    task_types: ClassVar[frozenset[str]] = frozenset()
    """The task types for which this metric is reported in addition to the task's own."""

    @abstractmethod
    def score(self, answers: Sequence[str], references: Sequence[Sequence[str]]) -> Score:
        """Score ``answers[i]`` against ``references[i]``. Raises ValueError on unequal lengths."""

    def informative(self, references: Sequence[Sequence[str]]) -> bool:
        """Return whether the score against ``references`` tells right answers from wrong ones.

        CIDEr-D of a single example, for instance, is 0 for any answer. The default compares the scores of the first
        references, of empty answers, and of a single letter. Override it where a score is expensive.
        """
        count = len(references)
        answers = ([texts[0] if texts else "" for texts in references], [""] * count, ["x"] * count)
        values = [self.score(own, references).value for own in answers]
        return any(abs(value - values[0]) > SMALLEST for value in values)
