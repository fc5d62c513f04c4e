"""UCIT's mean of seven captioning metrics, and the one of six that needs no Java."""

from __future__ import annotations

import shutil

import pytest
from pycocoevalcap.bleu.bleu import Bleu
from pycocoevalcap.cider.cider import Cider
from pycocoevalcap.rouge.rouge import Rouge

from micl_cli.api import Example, PlanError, Score
from micl_metrics.caption_mean import CaptionMean6, CaptionMean7
from micl_metrics.meteor import Meteor
from micl_metrics.ptb import tokenise

Corpus = tuple[list[str], list[list[str]]]
SIX = ("Bleu_1", "Bleu_2", "Bleu_3", "Bleu_4", "ROUGE_L", "CIDEr")


def official(corpus: Corpus) -> dict[str, float]:
    """The six figures of pycocoevalcap on the same words."""
    answers, references = corpus
    given = {at: [" ".join(tokenise(answer))] for at, answer in enumerate(answers)}
    wanted = {at: [" ".join(tokenise(text)) for text in texts] for at, texts in enumerate(references)}
    bleu = Bleu(4).compute_score(wanted, given, verbose=0)[0]
    others = [scorer().compute_score(wanted, given)[0] for scorer in (Rouge, Cider)]
    return dict(zip(SIX, (*bleu, *others), strict=True))


def test_the_mean_of_six_agrees_with_pycocoevalcap(corpus: Corpus) -> None:
    expected, score = official(corpus), CaptionMean6().score(*corpus)
    assert dict(score.figures) == pytest.approx(expected)
    assert score.value == pytest.approx(sum(expected.values()) / 6)
    assert len(score.each) == len(corpus[0])


def test_figures_of_categories_stand_beside_those_of_the_metrics(corpus: Corpus) -> None:
    answers, references = corpus
    examples = [
        Example(str(at), references=tuple(texts), meta={"category": "x"}) for at, texts in enumerate(references)
    ]
    figures = CaptionMean6().score_examples(answers, examples).figures
    assert set(figures) == {*SIX, "x"}


def test_the_mean_of_seven_has_meteor_in_addition(corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Meteor, "score", lambda self, answers, references: Score(0.3, (0.3,) * len(answers)))
    score, expected = CaptionMean7().score(*corpus), official(corpus) | {"METEOR": 0.3}
    assert dict(score.figures) == pytest.approx(expected)
    assert score.value == pytest.approx(sum(expected.values()) / 7)


def test_the_mean_of_seven_is_never_replaced_by_that_of_six(corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(PlanError, match="Java"):
        CaptionMean7().score(*corpus)
