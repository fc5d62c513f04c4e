"""Metrics that score an answer by its most similar reference."""

from __future__ import annotations

from abc import abstractmethod

from micl_cli.api import Example, ExampleMetric


class ReferenceMetric(ExampleMetric):
    """Rates an answer by the reference to which it is most similar; the score is the mean over examples."""

    @abstractmethod
    def similarity(self, answer: str, reference: str) -> float:
        """Return the score of an answer against one reference, in 0..1."""

    def rate(self, answer: str, example: Example) -> float:
        """Return the highest similarity to a reference. Raises ValueError if there is no reference."""
        if not example.references:
            raise ValueError(f"example {example.id} has no reference")
        return max(self.similarity(answer, reference) for reference in example.references)
