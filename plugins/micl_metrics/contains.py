"""Containment of a reference."""

from __future__ import annotations

from typing import ClassVar

from micl_metrics.references import ReferenceMetric
from micl_metrics.text import comparable


class Contains(ReferenceMetric):
    """The share of answers that contain one of their references, whatever the case, in 0..1.

    Both are compared by the common rule for characters (see :mod:`micl_metrics.text`). The reference may be a part of a
    word: "no" is contained in "snow". An empty reference is contained in no answer.
    """

    name: ClassVar[str] = "contains"

    def similarity(self, answer: str, reference: str) -> float:
        """Return 1.0 if the answer contains the reference, else 0.0."""
        wanted = comparable(reference)
        return float(bool(wanted) and wanted in comparable(answer))
