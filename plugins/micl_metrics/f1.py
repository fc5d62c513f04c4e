"""Token F1."""

from __future__ import annotations

import string
from collections import Counter
from typing import ClassVar

from micl_metrics.answers import ARTICLES
from micl_metrics.references import ReferenceMetric
from micl_metrics.text import UNSPACED, comparable

_DELETED = str.maketrans("", "", string.punctuation)


class F1(ReferenceMetric):
    """Token F1 of SQuAD (Rajpurkar et al. 2016) in 0..1: the harmonic mean of the precision and recall of words.

    As in the official script, texts are lower-cased, ASCII punctuation is deleted ("t-shirt" is "tshirt", "50%" is
    "50"), the articles a, an and the are dropped, and the best reference counts. Deviations: characters are compared by
    the common rule (see :mod:`micl_metrics.text`); each Chinese character or kana is a word; and a text of articles
    alone keeps them, so that the option "A" can be answered.
    """

    name: ClassVar[str] = "f1"

    def similarity(self, answer: str, reference: str) -> float:
        """Return the F1 of the words of both; 0.0 if they have none in common."""
        ours, theirs = words(answer), words(reference)
        common = (Counter(ours) & Counter(theirs)).total()
        return 2 * common / (len(ours) + len(theirs)) if common else 0.0


def words(text: str) -> list[str]:
    """Return the words of ``text`` as the official script of SQuAD normalises them, without articles."""
    spaced = UNSPACED.sub(lambda character: f" {character[0]} ", comparable(text).translate(_DELETED))
    found = spaced.split()
    return [word for word in found if word not in ARTICLES] or found
