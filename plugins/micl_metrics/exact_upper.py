"""Exact match after upper-casing."""

from __future__ import annotations

from typing import ClassVar

from micl_metrics.references import ReferenceMetric


class ExactUpper(ReferenceMetric):
    """The share of answers that equal one of their references after both are upper-cased, in 0..1.

    The rule of UCIT (Guo et al. 2025, ``eval_deepseek_r1.py``) and of TriGap's "exact" tasks: nothing is stripped or
    normalised, so that "A." and " A" are wrong for "A". Where a release divides by the number of predictions, a missing
    answer is wrong here.
    """

    name: ClassVar[str] = "exact_upper"

    def similarity(self, answer: str, reference: str) -> float:
        """Return 1.0 if both are equal in upper case, else 0.0."""
        return float(answer.upper() == reference.upper())
