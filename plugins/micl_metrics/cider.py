"""CIDEr-D."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from micl_cli.api import Metric, Score
from micl_metrics.ptb import tokenise
from micl_metrics.words import ORDERS, Grams, mean, ngrams, paired

SIGMA = 6.0
"""Width of the Gaussian penalty on a difference in length."""


@dataclass(frozen=True)
class _Vector:
    """A caption as tf-idf weights and their Euclidean norms, by n-gram order."""

    weights: tuple[dict[tuple[str, ...], float], ...]
    norms: tuple[float, ...]
    length: int


class CIDEr(Metric):
    """CIDEr-D (Vedantam et al. 2015, section 5, with clipping and the length penalty), in 0..10.

    The mean over n = 1..4 and over the references of the clipped cosine of tf-idf vectors, times 10. Document
    frequencies come from the references of the scored set, so that scores of different sets are not comparable: the
    same answer scores differently among other examples, and a set of one example has no informative words and scores 0.
    Empty answers and an empty set score 0. Agrees with pycocoevalcap's "CIDEr", which measures length in bigrams.
    """

    name: ClassVar[str] = "cider"
    version: ClassVar[int] = 2
    task_types: ClassVar[frozenset[str]] = frozenset({"captioning"})
    scale: ClassVar[tuple[float, float]] = (0.0, 10.0)

    def score(self, answers: Sequence[str], references: Sequence[Sequence[str]]) -> Score:
        """Score captions. Raises ValueError on unequal lengths or an answer without reference."""
        corpus = [
            (ngrams(tokenise(answer)), [ngrams(tokenise(text)) for text in texts])
            for answer, texts in paired(answers, references)
        ]
        documents = Counter(gram for _, texts in corpus for gram in set().union(*texts))
        each = tuple(_agreement(answer, texts, documents, len(corpus)) for answer, texts in corpus)
        return Score(mean(each), each)

    def informative(self, references: Sequence[Sequence[str]]) -> bool:
        """Return whether an n-gram is missing from an example's references: otherwise all tf-idf weights are 0."""
        grams = [set().union(*(ngrams(tokenise(text)) for text in texts)) for texts in references]
        return any(own != grams[0] for own in grams)


def _agreement(answer: Grams, texts: Sequence[Grams], documents: Grams, size: int) -> float:
    ours = _vector(answer, documents, size)
    return 10.0 * mean([_similarity(ours, _vector(text, documents, size)) for text in texts])


def _vector(grams: Grams, documents: Grams, size: int) -> _Vector:
    weights: tuple[dict[tuple[str, ...], float], ...] = tuple({} for _ in ORDERS)
    for gram, count in grams.items():
        weights[len(gram) - 1][gram] = count * (math.log(size) - math.log(max(1, documents[gram])))
    norms = tuple(math.sqrt(sum(weight**2 for weight in order.values())) for order in weights)
    return _Vector(weights, norms, sum(count for gram, count in grams.items() if len(gram) == 2))


def _similarity(ours: _Vector, theirs: _Vector) -> float:
    penalty = math.exp(-((ours.length - theirs.length) ** 2) / (2 * SIGMA**2))
    return penalty * mean([_cosine(ours, theirs, order) for order in range(len(ORDERS))])


def _cosine(ours: _Vector, theirs: _Vector, order: int) -> float:
    mine, other = ours.weights[order], theirs.weights[order]
    if not (norms := ours.norms[order] * theirs.norms[order]):
        return 0.0
    return sum(min(weight, other[gram]) * other[gram] for gram, weight in mine.items() if gram in other) / norms
