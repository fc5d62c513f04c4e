"""Metrics: how answers are scored against references."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Mapping, Sequence
from math import isfinite
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from micl_cli.api.answer import is_missing
from micl_cli.api.task import Example

if TYPE_CHECKING:
    from micl_cli.api.resources import Resources

SMALLEST = 1e-6
"""The smallest difference between scores that is not taken for rounding or smoothing."""
CATEGORY = "category"
"""The key of an example's ``meta`` that holds its category. Reports show the mean score of each category."""


class Score(NamedTuple):
    """A corpus score, ``value``, and one score for each example, ``each``; higher is better.

    ``figures`` holds further figures by name, such as the score of each category. All are on the scale of the metric's
    paper (accuracy in 0..1, CIDEr-D in 0..10); reports show them x100.
    """

    value: float
    each: tuple[float, ...]
    figures: Mapping[str, float] = MappingProxyType({})


class Metric(ABC):
    """Scores a list of answers against their references, or against their examples.

    A metric that needs more of an example than its references (its category, the size of its image) overrides
    :meth:`score_examples`; most then extend :class:`ExampleMetric`.
    """

    name: ClassVar[str]
    version: ClassVar[int] = 1
    """Increased with each change of the rule that can change a score; stored with every score."""
    task_types: ClassVar[frozenset[str]] = frozenset()
    """The task types for which this metric is reported in addition to the task's own."""
    scale: ClassVar[tuple[float, float]] = (0.0, 1.0)
    """The lowest and the highest possible score, on the scale of the metric's paper; the highest is above 0.

    Reports average scores of different tasks in a headline only if their scales are equal. Where scores on different
    scales have to be averaged, as in tuning, they are shares of the highest possible one.
    """

    def __init_subclass__(cls, **options: Any) -> None:
        """Raise ValueError for a scale that is none."""
        super().__init_subclass__(**options)
        scale = cls.scale
        numbers = isinstance(scale, tuple) and len(scale) == 2 and all(isinstance(end, int | float) for end in scale)
        if not numbers or not all(map(isfinite, scale)) or scale[0] >= scale[1] or scale[1] <= 0:
            raise ValueError(f"the scale of metric {cls.__name__} is {scale!r}, not its lowest and highest score")

    def setup(self, resources: Resources) -> None:
        """Receive the home folder and the loader of plugins, before the first score. Raises PlanError.

        For metrics that need a model or a file.
        """
        return None

    @abstractmethod
    def score(self, answers: Sequence[str], references: Sequence[Sequence[str]]) -> Score:
        """Score ``answers[i]`` against ``references[i]``. Raises ValueError on unequal lengths."""

    def score_examples(self, answers: Sequence[str], examples: Sequence[Example]) -> Score:
        """Score ``answers[i]`` to ``examples[i]``, with the mean score of each category, if examples have categories.

        A missing answer (see :class:`Answer`) counts as wrong. Raises ValueError on unequal lengths.
        """
        score = self.score(answers, [example.references for example in examples])
        return score._replace(figures={**category_means(score.each, examples), **score.figures})

    def informative(self, references: Sequence[Sequence[str]]) -> bool:
        """Return whether the score against ``references`` tells right answers from wrong ones.

        CIDEr-D of a single example, for instance, is 0 for any answer. The default compares the scores of the first
        references, of empty answers, and of a single letter. Override it where a score is expensive.
        """
        values = [self.score(own, references).value for own in _trial_answers(references)]
        return any(abs(value - values[0]) > SMALLEST for value in values)

    def informative_examples(self, examples: Sequence[Example]) -> bool:
        """Return whether the score on ``examples`` can tell right answers from wrong ones; see :meth:`informative`."""
        return self.informative([example.references for example in examples])


class ExampleMetric(Metric):
    """A metric whose score is the mean over examples, each of which is rated by itself."""

    @abstractmethod
    def rate(self, answer: str, example: Example) -> float:
        """Return the score of one answer, which is not missing."""

    def score(self, answers: Sequence[str], references: Sequence[Sequence[str]]) -> Score:
        """Score answers to examples of which only the references are known. Raises ValueError on unequal lengths."""
        return self.score_examples(answers, [Example("", references=tuple(texts)) for texts in references])

    def score_examples(self, answers: Sequence[str], examples: Sequence[Example]) -> Score:
        """Rate each answer; a missing one scores 0. Raises ValueError on unequal lengths."""
        if len(answers) != len(examples):
            raise ValueError(f"{len(answers)} answers to {len(examples)} examples")
        each = tuple(
            0.0 if is_missing(answer) else self.rate(answer, example)
            for answer, example in zip(answers, examples, strict=True)
        )
        return Score(sum(each) / len(each) if each else 0.0, each, category_means(each, examples))

    def informative_examples(self, examples: Sequence[Example]) -> bool:
        """Compare the ratings of first references, empty answers and a letter, example by example."""
        trials = zip(examples, *_trial_answers([example.references for example in examples]), strict=True)
        return any(len({self.rate(answer, example) for answer in answers}) > 1 for example, *answers in trials)


def _trial_answers(references: Sequence[Sequence[str]]) -> tuple[list[str], list[str], list[str]]:
    """Return the first references, empty answers, and answers of a single letter."""
    count = len(references)
    return [texts[0] if texts else "" for texts in references], [""] * count, ["x"] * count


def category_means(each: Sequence[float], examples: Sequence[Example]) -> dict[str, float]:
    """Return the mean score by category, sorted; empty if no example has one."""
    values: dict[str, list[float]] = defaultdict(list)
    for score, example in zip(each, examples, strict=True):
        if category := example.meta.get(CATEGORY):
            values[str(category)].append(score)
    return {category: sum(scores) / len(scores) for category, scores in sorted(values.items())}
