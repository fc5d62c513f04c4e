"""VQA accuracy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from micl_cli.api import Metric, Score
from micl_metrics.answers import matches
from micl_metrics.vqa_answers import normalise_vqa
from micl_metrics.words import mean, paired

ENOUGH = 3
"""The number of agreeing annotators that gives an answer the full score."""


class VQAAccuracy(Metric):
    """VQA accuracy (Antol et al. 2015) in 0..1: the share of three required annotators who gave the answer, at most 1.

    With k annotators (10 in VQA and OK-VQA): the mean, over the k ways to leave one out, of min(1, matches among the
    others / 3). If fewer than three others are left, all of them are required, so that an answer on which all agree
    scores 1. Answers are normalised by the rules of the VQA challenge (see
    :func:`micl_metrics.vqa_answers.normalise_vqa`), also where all annotators agree, where the script of the challenge
    compares the texts as they are. Empty answers are wrong; an empty set scores 0.
    """

    name: ClassVar[str] = "vqa_accuracy"
    version: ClassVar[int] = 2
    task_types: ClassVar[frozenset[str]] = frozenset({"qa"})

    def score(self, answers: Sequence[str], references: Sequence[Sequence[str]]) -> Score:
        """Score answers. Raises ValueError on unequal lengths or an answer without reference."""
        pairs = paired(answers, references)
        each = tuple(agreement(matches(answer, texts, normalise_vqa), len(texts)) for answer, texts in pairs)
        return Score(mean(each), each)


def agreement(hits: int, annotators: int) -> float:
    """Return the VQA accuracy of an answer that ``hits`` of the annotators gave."""
    if annotators == 1:
        return float(hits)
    enough = min(ENOUGH, annotators - 1)
    leaving_a_hit_out = hits * min(1.0, (hits - 1) / enough)
    leaving_a_miss_out = (annotators - hits) * min(1.0, hits / enough)
    return (leaving_a_hit_out + leaving_a_miss_out) / annotators
