"""Scoring rules of Continual-NExT: for choices, short answers, and sentences."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import ClassVar

from micl_cli.api import Metric, Resources, Score
from micl_metrics.references import ReferenceMetric
from micl_metrics.sentence_cosine import SentenceCosine
from micl_metrics.words import mean, paired

LONGEST_BLANK = 5
"""The maximum number of words of a short answer (assumed: how the release distinguishes them is not known)."""
_CHOICE = re.compile(r"[A-Za-z]")


class ContinualNextShort(ReferenceMetric):
    """Continual-NExT's rules for choices and short answers, in 0..1.

    If the reference is a letter, the answer must equal it; otherwise it must equal or contain it. White space at the
    ends does not count, case does.
    """

    name: ClassVar[str] = "continual_next_short"

    def similarity(self, answer: str, reference: str) -> float:
        """Return 1.0 if the answer is right, else 0.0."""
        ours, theirs = answer.strip(), reference.strip()
        if _CHOICE.fullmatch(theirs):
            return float(ours == theirs)
        return float(bool(theirs) and theirs in ours)


class ContinualNext(Metric):
    """Continual-NExT's rules for all answers, a mixture of scales.

    A reference of up to five words is scored by "continual_next_short", in 0..1, and a longer one by "sentence_cosine",
    which needs a sentence model. An example is scored by its best reference among those that are short or long like the
    first one.
    """

    name: ClassVar[str] = "continual_next"
    scale: ClassVar[tuple[float, float]] = SentenceCosine.scale

    def __init__(self) -> None:
        self._short, self._long = ContinualNextShort(), SentenceCosine()

    def setup(self, resources: Resources) -> None:
        """Locate the sentence model. Raises PlanError if it is not on this machine."""
        self._long.setup(resources)

    def score(self, answers: Sequence[str], references: Sequence[Sequence[str]]) -> Score:
        """Score answers. Raises ValueError on unequal lengths or a missing reference, PlanError without the model."""
        each = [0.0] * len(answers)
        pairs = [
            (answer, [text for text in texts if is_long(text) == is_long(texts[0])])
            for answer, texts in paired(answers, references)
        ]
        for metric, long in ((self._short, False), (self._long, True)):
            chosen = [index for index, (_, texts) in enumerate(pairs) if is_long(texts[0]) == long]
            scores = metric.score([pairs[index][0] for index in chosen], [pairs[index][1] for index in chosen])
            for index, value in zip(chosen, scores.each, strict=True):
                each[index] = value
        return Score(mean(each), tuple(each))

    def informative(self, references: Sequence[Sequence[str]]) -> bool:
        """Return whether there is a reference: it scores 1, and an empty answer 0."""
        return self._long.informative(references)


def is_long(reference: str) -> bool:
    """Return whether answers to a reference are compared by their embeddings."""
    return len(reference.split()) > LONGEST_BLANK
