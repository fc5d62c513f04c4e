"""ANLS and ANLS*: similarity by edit distance."""

from __future__ import annotations

from typing import ClassVar

from micl_metrics.references import ReferenceMetric
from micl_metrics.text import comparable

CUT = 0.5
"""The lowest similarity that ANLS counts (Biten et al. 2019, tau)."""


class ANLS(ReferenceMetric):
    """Average normalised Levenshtein similarity (Biten et al. 2019) in 0..1, the measure of DocVQA and InfographicVQA.

    An answer scores 1 - edit distance / length of the longer text against its best reference, and 0 where that is below
    0.5. Case and repeated spaces do not count; characters are compared by the common rule (see
    :mod:`micl_metrics.text`), where the official script compares them as they are.
    """

    name: ClassVar[str] = "anls"

    def similarity(self, answer: str, reference: str) -> float:
        """Return the similarity of answer and reference, or 0.0 below ``CUT``."""
        similar = _similarity(comparable(answer), comparable(reference))
        return similar if similar >= CUT else 0.0


class ANLSStar(ReferenceMetric):
    """The "ANLS*" of TriGap in 0..1: 1 - edit distance / length of the longer text, without a cut below 0.5.

    Rule of ``eval_ucit.py`` in the release (Prism): texts are stripped and lower-cased and otherwise raw; the best
    reference counts. It is higher than ANLS, and differs from the ANLS* for structured outputs (Peer et al. 2024).
    Deviation: the release divides by the number of predictions, here a missing answer scores 0.
    """

    name: ClassVar[str] = "anls_star"

    def similarity(self, answer: str, reference: str) -> float:
        """Return the similarity of answer and reference."""
        return _similarity(answer.strip().lower(), reference.strip().lower())


def _similarity(one: str, other: str) -> float:
    longer = max(len(one), len(other))
    return 1 - edit_distance(one, other) / longer if longer else 1.0


def edit_distance(one: str, other: str) -> int:
    """Return the smallest number of insertions, deletions and substitutions of a character between two texts."""
    if len(one) < len(other):
        one, other = other, one
    row = list(range(len(other) + 1))
    for count, character in enumerate(one, 1):
        diagonal, row[0] = row[0], count
        for at, own in enumerate(other, 1):
            diagonal, row[at] = row[at], min(row[at] + 1, row[at - 1] + 1, diagonal + (character != own))
    return row[-1]
