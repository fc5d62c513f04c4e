"""Metrics: how answers are scored against references."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar, NamedTuple


class Score(NamedTuple):
    """``value`` is the corpus score, ``each`` one number an example; higher is better.

    Both are fractions as their papers define them (accuracy in 0..1, CIDEr-D in 0..10); a
    report shows them x100.
    """

    value: float
    each: tuple[float, ...]


class Metric(ABC):
    """Scores a list of answers against their references."""

    name: ClassVar[str]
    task_types: ClassVar[frozenset[str]] = frozenset()
    """The task types for which this metric is also reported when it is not the task's own."""

    @abstractmethod
    def score(self, answers: Sequence[str], references: Sequence[Sequence[str]]) -> Score:
        """Score ``answers[i]`` against ``references[i]``. Raises ValueError on unequal lengths."""
