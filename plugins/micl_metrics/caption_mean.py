"""The mean of captioning metrics that UCIT reports."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from micl_cli.api import Metric, Resources, Score
from micl_metrics.bleu import BLEU1, BLEU2, BLEU3
from micl_metrics.bleu4 import BLEU4
from micl_metrics.cider import CIDEr
from micl_metrics.meteor import Meteor, has_words
from micl_metrics.rouge_l import RougeL
from micl_metrics.words import mean


class CaptionMean6(Metric):
    """The mean of BLEU-1 to BLEU-4, ROUGE-L and CIDEr-D, in 0..2.5: "caption_mean7" without METEOR, so without Java.

    Not a published figure, and not comparable with "caption_mean7". CIDEr-D is in 0..10 and the others in 0..1.
    ``Score.figures`` holds each metric by its name in pycocoevalcap.
    """

    name: ClassVar[str] = "caption_mean6"
    scale: ClassVar[tuple[float, float]] = (0.0, 15 / 6)
    parts: ClassVar[dict[str, type[Metric]]] = {
        "Bleu_1": BLEU1,
        "Bleu_2": BLEU2,
        "Bleu_3": BLEU3,
        "Bleu_4": BLEU4,
        "ROUGE_L": RougeL,
        "CIDEr": CIDEr,
    }

    def score(self, answers: Sequence[str], references: Sequence[Sequence[str]]) -> Score:
        """Score captions by each metric. Raises ValueError on unequal lengths or an answer without reference."""
        scores = {name: metric().score(answers, references) for name, metric in self.parts.items()}
        each = zip(*(score.each for score in scores.values()), strict=True)
        figures = {name: score.value for name, score in scores.items()}
        return Score(mean(list(figures.values())), tuple(mean(values) for values in each), figures)

    def informative(self, references: Sequence[Sequence[str]]) -> bool:
        """Return whether a reference has words: all metrics but CIDEr-D then distinguish answers."""
        return has_words(references)


class CaptionMean7(CaptionMean6):
    """UCIT's figure for captions: the mean of BLEU-1 to BLEU-4, METEOR, ROUGE-L and CIDEr-D, in 0..16/7.

    Rule of ``eval_caption.py`` (Guo et al. 2025). CIDEr-D is in 0..10 and the others in 0..1. Has the requirements of
    METEOR (see :class:`micl_metrics.meteor.Meteor`); without them, no other figure takes its place. ``Score.figures``
    holds each metric by its name in pycocoevalcap.
    """

    name: ClassVar[str] = "caption_mean7"
    scale: ClassVar[tuple[float, float]] = (0.0, 16 / 7)
    parts: ClassVar[dict[str, type[Metric]]] = {**CaptionMean6.parts, "METEOR": Meteor}

    def setup(self, resources: Resources) -> None:
        """Raise PlanError unless METEOR can be computed."""
        Meteor().setup(resources)
