"""VQA accuracy by the simplified formula."""

from __future__ import annotations

from typing import ClassVar

from micl_cli.api import Example, ExampleMetric
from micl_metrics.answers import matches
from micl_metrics.vqa_accuracy import ENOUGH
from micl_metrics.vqa_answers import normalise_vqa


class VQAAccuracySimple(ExampleMetric):
    """min(1, n / 3) in 0..1, where n annotators gave the answer: the formula of Antol et al. 2015.

    It exceeds "vqa_accuracy", the mean over leaving one annotator out, where one to three of ten agree: 33, 67 and 100
    % instead of 30, 60 and 90 %. Answers are normalised in the same way. An example with fewer than three references
    needs all of them, so that a single reference can be met. Empty answers are wrong.
    """

    name: ClassVar[str] = "vqa_accuracy_simple"

    def rate(self, answer: str, example: Example) -> float:
        """Return the share of required annotators who gave the answer. Raises ValueError without a reference."""
        if not example.references:
            raise ValueError(f"example {example.id} has no reference")
        required = min(ENOUGH, len(example.references))
        return min(1.0, matches(answer, example.references, normalise_vqa) / required)
