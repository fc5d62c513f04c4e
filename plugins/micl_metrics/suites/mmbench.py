"""MMBench (Liu et al. 2023, arXiv 2307.06281): multiple choice, with each rotation of the options."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from micl_cli.api import GROUP, Example, ExampleMetric, Score, choices_of, chosen_letter
from micl_metrics.words import mean


class MMBench(ExampleMetric):
    """The share of questions, in 0..1, that are answered rightly under every rotation of their options.

    Deviation: where the release asks ChatGPT for the option that an answer means, and draws one at random if that
    fails, a rule finds it (see :func:`micl_cli.api.letters.chosen_letter`), or the answer is wrong.

    Figures: the share of each category, and "vanilla", the accuracy without rotations.
    The score of an example is whether its own answer is right.
    """

    name: ClassVar[str] = "mmbench"

    def rate(self, answer: str, example: Example) -> float:
        """Return 1.0 if the answer names the right option, else 0.0."""
        return float(chosen_letter(answer, choices_of(example)) == example.references[0])

    def score_examples(self, answers: Sequence[str], examples: Sequence[Example]) -> Score:
        """Score answers by circular evaluation. Raises ValueError on unequal lengths."""
        score = super().score_examples(answers, examples)
        circles: dict[str, list[float]] = {}
        categories: dict[str, str] = {}
        for value, example in zip(score.each, examples, strict=True):
            circle = str(example.meta.get(GROUP, example.id))
            circles.setdefault(circle, []).append(value)
            categories[circle] = str(example.meta.get("category", ""))
        right = {circle: float(all(values)) for circle, values in circles.items()}
        figures = {
            name: mean([right[circle] for circle in circles if categories[circle] == name])
            for name in sorted(set(categories.values()) - {""})
        }
        pairs = zip(score.each, examples, strict=True)
        figures["vanilla"] = mean([value for value, example in pairs if example.meta.get("rotation", 0) == 0])
        return Score(mean(list(right.values())), score.each, figures)
