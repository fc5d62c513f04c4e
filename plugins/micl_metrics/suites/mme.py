"""MME (Fu et al. 2023, arXiv 2306.13394): pairs of yes/no questions on images, in 14 categories."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from micl_cli.api import GROUP, Example, ExampleMetric, Score
from micl_metrics.words import mean

COGNITION = frozenset({"commonsense_reasoning", "numerical_calculation", "text_translation", "code_reasoning"})
"""The categories of cognition; all others are of perception."""
_PREFIX = 4
_POINTS = 100


class MME(ExampleMetric):
    """MME's score as a share of its maximum, in 0..1.

    A category has 100 acc + 100 acc+ points, at most 200: acc is the share of right answers, acc+ the share of images
    whose two questions are both right. The score is the mean over categories of (acc + acc+) / 2, which is the sum of
    all points divided by its maximum (2,800 with all categories).

    As in the release, an answer in lower case is right if it is the word, or if its first four characters contain it
    ("yes" takes precedence); a missing or any other answer is wrong.

    Figures: "perception" (at most 2,000 points), "cognition" (800), and "CATEGORY points" (200), all divided by 100, so
    that reports, which show figures x100, show points; and the accuracy of each category.
    """

    name: ClassVar[str] = "mme"

    def rate(self, answer: str, example: Example) -> float:
        """Return 1.0 if the answer is right, else 0.0."""
        return float(says(answer) == example.references[0].strip().lower())

    def score_examples(self, answers: Sequence[str], examples: Sequence[Example]) -> Score:
        """Score answers, with points of each category. Raises ValueError on unequal lengths."""
        score = super().score_examples(answers, examples)
        points = _points(score.each, examples)
        sums = {"perception": 0.0, "cognition": 0.0}
        for category, value in points.items():
            sums["cognition" if category in COGNITION else "perception"] += value / _POINTS
        figures = {f"{category} points": value / _POINTS for category, value in points.items()}
        share = mean([value / (2 * _POINTS) for value in points.values()])
        return Score(share, score.each, {**score.figures, **sums, **figures})


def says(answer: str) -> str:
    """Return "yes", "no", or an empty string if the answer says neither."""
    text = answer.lower()
    if text in ("yes", "no"):
        return text
    return next((word for word in ("yes", "no") if word in text[:_PREFIX]), "")


def _points(each: Sequence[float], examples: Sequence[Example]) -> dict[str, float]:
    """Return 100 acc + 100 acc+ by category, sorted."""
    images: dict[str, dict[str, list[float]]] = {}
    for score, example in zip(each, examples, strict=True):
        of_category = images.setdefault(str(example.meta.get("category", "")), {})
        of_category.setdefault(str(example.meta.get(GROUP, example.id)), []).append(score)
    return {category: _POINTS * (_acc(groups) + _acc_plus(groups)) for category, groups in sorted(images.items())}


def _acc(images: dict[str, list[float]]) -> float:
    return mean([score for scores in images.values() for score in scores])


def _acc_plus(images: dict[str, list[float]]) -> float:
    return mean([float(all(scores)) for scores in images.values()])
