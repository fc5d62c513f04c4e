"""Contract tests of metrics: one score for each example, independent of their order; missing answers are wrong."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import pytest

from micl_cli.api.answer import Answer
from micl_cli.api.metric import CATEGORY, SMALLEST, Metric
from micl_cli.api.task import Example
from micl_cli.errors import PlanError


class MetricContract:
    """Tests of a metric, for subclasses that set ``metric``.

    ``references`` may be overridden, with at least three examples of different meaning; ``examples``, where a metric
    needs more than the references of an example.
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

    def examples(self, category: str = "") -> list[Example]:
        """Return an example for each of ``references``; the first has ``category``, the others have "other"."""
        names = [category, *["other"] * (len(self.references) - 1)]
        metas = [{CATEGORY: name} if category else {} for name in names]
        numbered = enumerate(zip(self.references, metas, strict=True))
        return [Example(str(at), references=tuple(texts), meta=meta) for at, (texts, meta) in numbered]

    def test_has_a_name_a_version_and_task_types(self) -> None:
        assert self.metric.name
        assert isinstance(self.metric.version, int)
        assert self.metric.version >= 1
        assert all(isinstance(word, str) for word in self.metric.task_types)

    def test_declares_its_scale(self) -> None:
        low, high = self.metric.scale
        assert math.isfinite(low) and math.isfinite(high)
        assert low < high

    def test_scores_are_within_the_declared_scale(self) -> None:
        (low, high), metric = self.metric.scale, self.make()
        right = [references[0] for references in self.references]
        for answers in (right, [*right[1:], right[0]], [""] * len(right)):
            score = metric.score_examples(answers, self.examples())
            assert all(low - SMALLEST <= value <= high + SMALLEST for value in (score.value, *score.each))

    def test_correct_answers_score_higher_than_wrong_ones(self) -> None:
        right = [references[0] for references in self.references]
        wrong = [*right[1:], right[0]]
        assert self.make().score(right, self.references).value > self.make().score(wrong, self.references).value

    def test_knows_whether_it_tells_right_from_wrong(self) -> None:
        metric = self.make()
        assert metric.informative(self.references)
        for references in (self.references[:1], [self.references[0]] * 3, [["."], ["!"]]):
            if not self._tells(metric, references):
                right, wrong = [texts[0] for texts in references], ["x"] * len(references)
                values = [metric.score(answers, references).value for answers in (right, wrong)]
                assert abs(values[0] - values[1]) <= SMALLEST

    def _tells(self, metric: Metric, references: Sequence[Sequence[str]]) -> bool:
        """Return whether a metric is informative; references that it rejects count as informative."""
        try:
            return metric.informative(references)
        except PlanError:
            return True

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
        with pytest.raises(ValueError):
            self.make().score_examples(["one"], self.examples())

    def test_right_answers_to_examples_score_higher_than_wrong_ones(self) -> None:
        right = [references[0] for references in self.references]
        scores = [self.make().score_examples(answers, self.examples()) for answers in (right, [*right[1:], right[0]])]
        assert scores[0].value > scores[1].value
        assert all(len(score.each) == len(right) for score in scores)
        assert self.make().informative_examples(self.examples())

    def test_a_missing_answer_is_wrong(self) -> None:
        right: list[str] = [references[0] for references in self.references]
        metric, missing = self.make(), [Answer("", missing=True), *right[1:]]
        all_given, one_missing = (metric.score_examples(answers, self.examples()) for answers in (right, missing))
        assert one_missing.value < all_given.value
        assert one_missing.each[0] < all_given.each[0]
        assert one_missing.each[0] <= metric.score_examples(["", *right[1:]], self.examples()).each[0]

    def test_figures_are_finite_and_hold_the_mean_of_each_category(self) -> None:
        right = [references[0] for references in self.references]
        wrong_first = ["x", *right[1:]]
        plain, divided = (self.make().score_examples(wrong_first, self.examples(name)) for name in ("", "first"))
        assert all(isinstance(name, str) and math.isfinite(value) for name, value in divided.figures.items())
        assert divided.figures.get("first") == pytest.approx(divided.each[0])
        assert divided.figures.get("other") == pytest.approx(sum(divided.each[1:]) / (len(right) - 1))
        assert {"first", "other"}.isdisjoint(plain.figures)
        assert plain.value == pytest.approx(divided.value)
