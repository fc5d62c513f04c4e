"""The contract of metrics: one score for each example, independent of their order."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import pytest

from micl_cli.api.metric import SMALLEST, Metric


class MetricContract:
    """Tests of a metric, for subclasses that set ``metric``.

    ``references`` may be overridden, with at least three examples of different meaning.
    """

    metric: ClassVar[type[Metric]]
    options: ClassVar[Mapping[str, Any]] = {}
    references: ClassVar[Sequence[Sequence[str]]] = (
        ("a red box stands on the left", "the box on the left is red"),
        ("two dogs run over the green grass", "dogs are running on grass"),
        ("somebody plays a slow song on a piano", "a piano is played"),
    )

    def make(self) -> Metric:
        """Return the metric under test."""
        return self.metric(**self.options)

    def test_has_a_name_and_task_types(self) -> None:
        assert self.metric.name
        assert all(isinstance(word, str) for word in self.metric.task_types)

    def test_correct_answers_score_higher_than_wrong_ones(self) -> None:
        right = [references[0] for references in self.references]
        wrong = [*right[1:], right[0]]
        assert self.make().score(right, self.references).value > self.make().score(wrong, self.references).value

    def test_knows_whether_it_tells_right_from_wrong(self) -> None:
        metric = self.make()
        assert metric.informative(self.references)
        for references in (self.references[:1], [self.references[0]] * 3, [["."], ["!"]]):
            if not metric.informative(references):
                right, wrong = [texts[0] for texts in references], ["x"] * len(references)
                values = [metric.score(answers, references).value for answers in (right, wrong)]
                assert abs(values[0] - values[1]) <= SMALLEST

    def test_each_answer_has_a_finite_score(self) -> None:
        answers = ["", "?!", "word " * 50][: len(self.references)]
        answers += [""] * (len(self.references) - len(answers))
        score = self.make().score(answers, self.references)
        assert len(score.each) == len(answers)
        assert all(math.isfinite(value) for value in (score.value, *score.each))

    def test_order_does_not_matter(self) -> None:
        answers = [self.references[0][0], "something else", *(r[-1] for r in self.references[2:])]
        score = self.make().score(answers, self.references)
        reverse = self.make().score(answers[::-1], self.references[::-1])
        assert reverse.value == pytest.approx(score.value)
        assert reverse.each[::-1] == pytest.approx(score.each)

    def test_scores_do_not_depend_on_earlier_calls(self) -> None:
        answers = [references[-1] for references in self.references]
        metric = self.make()
        first = metric.score(answers, self.references)
        metric.score(answers[:1], self.references[:1])
        assert metric.score(answers, self.references) == first

    def test_unequal_lengths_are_refused(self) -> None:
        with pytest.raises(ValueError):
            self.make().score(["one"], self.references)
