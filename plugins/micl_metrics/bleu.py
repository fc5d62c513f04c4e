"""Corpus BLEU-1 to BLEU-4."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import ClassVar, NamedTuple

from micl_cli.api import Metric, Score
from micl_metrics.ptb import tokenise
from micl_metrics.words import ORDERS, Grams, ngrams, paired

# pycocoevalcap's constants against division by zero. They affect the score only if no n-gram of an order matches.
TINY, SMALL = 1e-15, 1e-9


class _Counts(NamedTuple):
    """The counts that BLEU sums: words, words of the closest reference, and n-grams by order."""

    length: int
    closest: int
    matched: tuple[int, ...]
    total: tuple[int, ...]


class BLEU(Metric):
    """Corpus BLEU (Papineni et al. 2002) in 0..1: counts are summed over the set before division.

    The geometric mean of clipped n-gram precisions up to ``order``, times the brevity penalty for the reference closest
    in length (the shorter of two equally close). ``Score.each`` holds the BLEU of single examples. Words are those of
    :func:`micl_metrics.ptb.tokenise`. Agrees with pycocoevalcap's "closest". Empty answers and an empty set score 0.
    """

    version: ClassVar[int] = 2
    order: ClassVar[int]

    def score(self, answers: Sequence[str], references: Sequence[Sequence[str]]) -> Score:
        """Score captions. Raises ValueError on unequal lengths or an answer without reference."""
        counts = [_counts(answer, texts) for answer, texts in paired(answers, references)]
        return Score(_bleu(_sum(counts), self.order), tuple(_bleu(count, self.order) for count in counts))


def _counts(answer: str, texts: Sequence[str]) -> _Counts:
    ours, theirs = tokenise(answer), [tokenise(text) for text in texts]
    length = len(ours)
    allowed: Grams = Counter()
    for words in theirs:
        allowed |= ngrams(words)
    clipped = ngrams(ours) & allowed
    matched = tuple(sum(count for gram, count in clipped.items() if len(gram) == n) for n in ORDERS)
    closest = min((abs(len(words) - length), len(words)) for words in theirs)[1]
    return _Counts(length, closest, matched, tuple(max(0, length - n + 1) for n in ORDERS))


def _sum(counts: Iterable[_Counts]) -> _Counts:
    zeros = (0,) * len(ORDERS)
    total = _Counts(0, 0, zeros, zeros)
    for one in counts:
        total = _Counts(
            total.length + one.length,
            total.closest + one.closest,
            tuple(map(sum, zip(total.matched, one.matched, strict=True))),
            tuple(map(sum, zip(total.total, one.total, strict=True))),
        )
    return total


def _bleu(counts: _Counts, order: int) -> float:
    precisions = [(hits + TINY) / (total + SMALL) for hits, total in zip(counts.matched, counts.total, strict=True)]
    ratio = (counts.length + TINY) / (counts.closest + SMALL)
    brevity = math.exp(1 - 1 / ratio) if ratio < 1 else 1.0
    return brevity * math.prod(precisions[:order]) ** (1 / order)


class BLEU1(BLEU):
    """BLEU-1: the precision of words."""

    name: ClassVar[str] = "bleu1"
    order: ClassVar[int] = 1


class BLEU2(BLEU):
    """BLEU-2: n-grams up to 2 words."""

    name: ClassVar[str] = "bleu2"
    order: ClassVar[int] = 2


class BLEU3(BLEU):
    """BLEU-3: n-grams up to 3 words."""

    name: ClassVar[str] = "bleu3"
    order: ClassVar[int] = 3
