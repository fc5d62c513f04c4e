"""ROUGE-L."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from micl_cli.api import Metric, Score
from micl_metrics.ptb import tokenise
from micl_metrics.words import mean, paired

BETA = 1.2
"""The weight of recall relative to precision."""


class RougeL(Metric):
    """ROUGE-L (Lin 2004) in 0..1: the F-measure (beta 1.2) of the longest common subsequence of words.

    Precision and recall are each the maximum over the references, as in captioning evaluations; the score is the mean
    over examples. Agrees with pycocoevalcap. An answer without words scores 0.
    """

    name: ClassVar[str] = "rouge_l"
    version: ClassVar[int] = 2
    task_types: ClassVar[frozenset[str]] = frozenset({"captioning"})

    def score(self, answers: Sequence[str], references: Sequence[Sequence[str]]) -> Score:
        """Score captions. Raises ValueError on unequal lengths or an answer without reference."""
        each = tuple(_f_measure(answer, texts) for answer, texts in paired(answers, references))
        return Score(mean(each), each)


def _f_measure(answer: str, texts: Sequence[str]) -> float:
    ours = tokenise(answer)
    common = [(_common(ours, words), len(words)) for words in map(tokenise, texts)]
    if not any(hits for hits, _ in common):
        return 0.0
    precision = max(hits for hits, _ in common) / len(ours)
    recall = max(hits / length for hits, length in common if length)
    return (1 + BETA**2) * precision * recall / (recall + BETA**2 * precision)


def _common(ours: Sequence[str], theirs: Sequence[str]) -> int:
    """Return the length of the longest common subsequence."""
    former = [0] * (len(theirs) + 1)
    for word in ours:
        row = [0]
        for at, other in enumerate(theirs):
            row.append(former[at] + 1 if word == other else max(row[at], former[at + 1]))
        former = row
    return former[-1]
