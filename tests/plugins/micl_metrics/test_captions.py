"""CIDEr-D, BLEU-4 and ROUGE-L: against pycocoevalcap, and by hand."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocoevalcap.bleu.bleu import Bleu
from pycocoevalcap.cider.cider import Cider
from pycocoevalcap.rouge.rouge import Rouge

from micl_cli.api import Metric
from micl_metrics.bleu import BLEU1, BLEU2, BLEU3
from micl_metrics.bleu4 import BLEU4
from micl_metrics.cider import CIDEr
from micl_metrics.rouge_l import RougeL

WORDS = ["red", "blue", "circle", "square", "above", "left", "of", "small"]
REFERENCE = st.lists(st.sampled_from(WORDS), min_size=1, max_size=12).map(" ".join)
ANSWER = st.lists(st.sampled_from(WORDS), max_size=12).map(" ".join)
CORPUS = st.lists(st.tuples(ANSWER, st.lists(REFERENCE, min_size=1, max_size=4)), min_size=1, max_size=8)

CAPTION_METRICS: Sequence[type[Metric]] = (CIDEr, BLEU4, RougeL)
CAPTIONS = [
    ("a red circle above a blue square", ["a red circle above a blue square", "a red circle is over a blue one"]),
    ("a small dog", ["a dog that is small runs", "one dog", "a small brown dog runs on the grass"]),
    ("two tones , the second is higher", ["a low tone and then a high tone", "a rising pair of tones"]),
]


def unzip(corpus: Sequence[tuple[str, Sequence[str]]]) -> tuple[list[str], list[Sequence[str]]]:
    return [answer for answer, _ in corpus], [texts for _, texts in corpus]


def tables(corpus: Sequence[tuple[str, Sequence[str]]]) -> tuple[dict[int, list[str]], dict[int, list[str]]]:
    """References and answers as pycocoevalcap takes them."""
    numbered = list(enumerate(corpus))
    return {i: list(texts) for i, (_, texts) in numbered}, {i: [answer] for i, (answer, _) in numbered}


@settings(max_examples=60, deadline=None)
@given(CORPUS)
def test_cider_agrees_with_pycocoevalcap(corpus: list[tuple[str, list[str]]]) -> None:
    expected, each = Cider().compute_score(*tables(corpus))
    ours = CIDEr().score(*unzip(corpus))
    assert ours.value == pytest.approx(expected, abs=1e-9)
    assert ours.each == pytest.approx(list(each), abs=1e-9)


@settings(max_examples=60, deadline=None)
@given(CORPUS)
def test_bleu_of_each_order_agrees_with_pycocoevalcap(corpus: list[tuple[str, list[str]]]) -> None:
    expected, each = Bleu(4).compute_score(*tables(corpus), verbose=0)
    for order, metric in enumerate((BLEU1, BLEU2, BLEU3, BLEU4)):
        ours = metric().score(*unzip(corpus))
        assert ours.value == pytest.approx(expected[order], abs=1e-9)
        assert ours.each == pytest.approx(each[order], abs=1e-9)


@settings(max_examples=60, deadline=None)
@given(CORPUS)
def test_rouge_l_agrees_with_pycocoevalcap(corpus: list[tuple[str, list[str]]]) -> None:
    expected, each = Rouge().compute_score(*tables(corpus))
    ours = RougeL().score(*unzip(corpus))
    assert ours.value == pytest.approx(expected, abs=1e-9)
    assert ours.each == pytest.approx(list(each), abs=1e-9)


def test_cider_of_two_images_by_hand() -> None:
    """Each word occurs with one image of two, so that every idf is log 2 and cancels in the cosine."""
    score = CIDEr().score(["red circle", "blue dog"], [["red circle"], ["blue square"]])
    # Image 1: the cosine is 1 for n = 1 and 2, and there are no 3- and 4-grams. Image 2: 1/2 for n = 1.
    assert score.each == pytest.approx((10 * (1 + 1) / 4, 10 * (1 / 2) / 4))
    assert score.value == pytest.approx((5 + 1.25) / 2)


def test_cider_penalises_a_difference_in_length() -> None:
    long = " ".join("abcdefgh")
    exact, longer = (CIDEr().score([text, "x"], [["a b"], ["x y"]]).each[0] for text in ("a b", long))
    assert longer < exact * math.exp(-(6**2) / (2 * 6.0**2))


def test_a_word_of_every_image_tells_nothing() -> None:
    assert CIDEr().score(["tone", "tone"], [["tone"], ["tone"]]).value == 0.0


def test_bleu_of_lower_orders_by_hand() -> None:
    # 5 words against 6: precisions 5/5, 3/4 and 1/3.
    texts = ["a b c x y"], [["a b c d x y"]]
    brevity = math.exp(1 - 6 / 5)
    assert BLEU1().score(*texts).value == pytest.approx(brevity, rel=1e-6)
    assert BLEU2().score(*texts).value == pytest.approx(brevity * (3 / 4) ** (1 / 2), rel=1e-6)
    assert BLEU3().score(*texts).value == pytest.approx(brevity * (3 / 4 / 3) ** (1 / 3), rel=1e-6)


def test_bleu4_by_hand() -> None:
    # 5 words against 6: precisions 5/5, 3/4, 1/3, and 1e-15/2 for lack of a 4-gram.
    score = BLEU4().score(["a b c x y"], [["a b c d x y"]])
    precisions = 1 * (3 / 4) * (1 / 3) * (1e-15 / 2)
    assert score.value == pytest.approx(math.exp(1 - 6 / 5) * precisions**0.25, rel=1e-6)
    assert BLEU4().score(["a b c d"], [["a b c d"]]).value == pytest.approx(1.0, abs=1e-8)


def test_bleu4_takes_the_shorter_of_two_equally_close_references() -> None:
    """Five words lie between references of four and six; against four there is no brevity penalty."""
    between = BLEU4().score(["a b c d e"], [["a b c d e f", "x x x x"]]).value
    assert between == pytest.approx(1.0, abs=1e-8)


def test_captions_with_abbreviations_and_signs_score_as_published_evaluations_do() -> None:
    """The values are those of pycocoevalcap with its own tokenizer."""
    corpus = [
        (
            "a black & white photo of a train",
            ["A black & white photo of a train.", "A black and white picture of a train."],
        ),
        ("a clock that reads 3 p.m.", ["A clock showing 3 p.m. on a tower.", "The clock says 3 p.m."]),
        ("a sign for 50% off", ["A store sign says 50% off.", "50% off sign in a window."]),
        ("the u.s. flag on a pole", ["The U.S. flag is flying on a pole.", "A U.S. flag."]),
        ("a dog that cannot reach the food", ["A dog cannot reach its food.", "The dog can not get the food."]),
        ("a st. louis street sign", ["A street sign in St. Louis.", "St. Louis street sign."]),
    ]
    scores = [100 * metric().score(*unzip(corpus)).value for metric in CAPTION_METRICS]
    assert scores == pytest.approx([409.29, 52.50, 82.28], abs=0.005)


def test_rouge_l_by_hand() -> None:
    precision, recall = 3 / 3, 3 / 4
    expected = (1 + 1.44) * precision * recall / (recall + 1.44 * precision)
    assert RougeL().score(["a b d"], [["a b c d", "x"]]).value == pytest.approx(expected)


def test_chinese_captions_are_compared_by_character() -> None:
    answers, references = ["一只狗在跑。", "两只猫"], [["一只狗在跑"], ["三只鸟"]]
    assert BLEU1().score(answers, references).each == pytest.approx((1.0, 1 / 3))
    assert CIDEr().score(answers, references).each[0] == pytest.approx(10.0)
    assert RougeL().score(answers, references).each[0] == pytest.approx(1.0)


@pytest.mark.parametrize("metric", CAPTION_METRICS)
class TestEdges:
    def test_empty_answers_score_zero(self, metric: type[Metric]) -> None:
        score = metric().score(["", " ... "], [["a red circle"], ["a blue square"]])
        assert score.value == pytest.approx(0.0, abs=1e-9)
        assert score.each == pytest.approx((0.0, 0.0), abs=1e-9)

    def test_references_without_words_score_zero(self, metric: type[Metric]) -> None:
        assert metric().score(["a red circle", ""], [["..."], [""]]).value == pytest.approx(0.0, abs=1e-3)

    def test_one_example_is_scored(self, metric: type[Metric]) -> None:
        score = metric().score(["a red circle falls"], [["a red circle falls"]])
        assert score.value == pytest.approx(0.0 if metric is CIDEr else 1.0, abs=1e-6)

    def test_no_examples_score_zero(self, metric: type[Metric]) -> None:
        assert metric().score([], []).each == ()
        assert metric().score([], []).value == pytest.approx(0.0, abs=1e-9)

    def test_unequal_lengths_are_refused(self, metric: type[Metric]) -> None:
        with pytest.raises(ValueError, match="1 answers"):
            metric().score(["a"], [])

    def test_case_and_punctuation_do_not_count(self, metric: type[Metric]) -> None:
        plain = metric().score(*unzip(CAPTIONS))
        loud = metric().score([answer.upper() + "!" for answer, _ in CAPTIONS], [texts for _, texts in CAPTIONS])
        assert loud == plain

    def test_the_better_caption_scores_higher(self, metric: type[Metric]) -> None:
        answers, references = unzip(CAPTIONS)
        worse = ["a blue triangle", *answers[1:]]
        assert metric().score(worse, references).value < metric().score(answers, references).value


# References that tell nothing


@pytest.mark.parametrize(
    ("references", "tells"),
    [
        ([["a red circle"]], False),
        ([["a red circle"]] * 4, False),
        ([["a red circle", "one circle"], ["one circle", "a red circle"]], False),
        ([["a red circle"], ["a blue circle"]], True),
        ([["a red circle"], ["a red circle"], ["a red"]], True),
    ],
)
def test_cider_tells_answers_apart_where_references_differ(references: list[list[str]], tells: bool) -> None:
    assert CIDEr().informative(references) == tells
    best = max(CIDEr().score([texts[0] for texts in references], references).each)
    assert (best > 0) == tells


@pytest.mark.parametrize("metric", [BLEU4, RougeL])
@pytest.mark.parametrize(("texts", "tells"), [(["one two three four five"], True), (["..."], False)])
def test_other_metrics_need_words(metric: type[Metric], texts: list[str], tells: bool) -> None:
    assert metric().informative([texts]) == tells


@given(CORPUS)
def test_where_a_metric_cannot_tell_any_answers_score_the_same(corpus: list[tuple[str, Sequence[str]]]) -> None:
    answers, references = unzip(corpus)
    for metric in (CIDEr(), RougeL()):
        if not metric.informative(references):
            right = metric.score([texts[0] for texts in references], references).value
            assert metric.score(answers, references).value == right
