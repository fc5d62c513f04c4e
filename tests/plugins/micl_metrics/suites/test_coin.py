"""CoIN's rules, with values worked out by hand from them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from micl_cli.api import Answer, Example, Metric, PlanError
from micl_metrics.suites.coin import (
    ClassRelease,
    GQARelease,
    GroundingRelease,
    ImageNetRelease,
    ImageNetStrict,
    OCRVQARelease,
    ScienceQAAnswerIs,
    ScienceQARelease,
    ScienceQAStrict,
    TextVQARelease,
    normalise_evalai,
)


def score(metric: type[Metric], answer: str, *references: str) -> float:
    return metric().score([answer], [references]).value


# ScienceQA: answer, and whether it is right for "B" by the release, by "The answer is B.", and strictly


@pytest.mark.parametrize(
    ("answer", "release", "answer_is", "strict"),
    [
        ("B", 1, 1, 1),
        ("b", 1, 0, 1),
        ("B. west", 1, 1, 1),
        ("The answer is B!", 1, 1, 1),
        ("The answer is A. The answer is B.", 0, 0, 0),
        ("(B)", 1, 0, 1),
        ("B) west", 1, 0, 1),
        ("The answer is B.", 1, 1, 1),
        ("The answer is B", 1, 0, 1),
        ("the answer: B", 1, 0, 1),
        ("I think it is B", 0, 0, 0),
        ("A dog, so the answer is B.", 0, 0, 1),
        ("A dog. The answer is B.", 0, 1, 1),
        ("2 of them: B", 0, 0, 0),
        ("Because B", 1, 0, 0),
        ("west", 0, 0, 0),
        ("", 0, 0, 0),
        ("AB", 0, 0, 0),
        ("A", 0, 0, 0),
    ],
)
def test_letters_of_options(answer: str, release: float, answer_is: float, strict: float) -> None:
    found = [score(metric, answer, "B") for metric in (ScienceQARelease, ScienceQAAnswerIs, ScienceQAStrict)]
    assert found == [release, answer_is, strict]


def test_a_missing_answer_is_wrong_by_every_rule() -> None:
    examples = [Example("1", references=("dog",), meta={"bbox": [0, 0, 1, 1]})]
    for metric in (
        *(ScienceQARelease, TextVQARelease, ImageNetRelease, ClassRelease),
        *(GQARelease, OCRVQARelease, GroundingRelease),
    ):
        assert metric().score_examples([Answer("", missing=True)], examples).value == 0.0


# TextVQA


@pytest.mark.parametrize(
    ("answer", "normalised"),
    [
        ("The Nokia", "nokia"),
        ("Nokia, Inc?", "nokia inc"),
        ("two", "2"),
        ("dont", "don't"),
        ("McDonald's", "mcdonald 's"),
        ("1,000", "1000"),
        ("a.m.", "am"),
    ],
)
def test_normalisation_of_textvqa(answer: str, normalised: str) -> None:
    assert normalise_evalai(answer) == normalised


@pytest.mark.parametrize(
    ("hits", "value"),
    # Leaving out one of ten: of one hit, nine times 1/3; of two, twice 1/3 and eight times 2/3; of four, always 1.
    [(0, 0.0), (1, 0.3), (2, 0.6), (3, 0.9), (4, 1.0), (10, 1.0)],
)
def test_textvqa_is_the_mean_over_leaving_one_answer_out(hits: int, value: float) -> None:
    answers = ["nokia"] * hits + [f"other {n}" for n in range(10 - hits)]
    assert score(TextVQARelease, "Nokia,", *answers) == pytest.approx(value)


def test_an_empty_answer_to_textvqa_equals_an_article_but_a_missing_one_is_wrong() -> None:
    example = Example("1", references=("the",) * 10)
    for answer, right in ((Answer(""), 1.0), (Answer("", missing=True), 0.0)):
        assert TextVQARelease().score_examples([answer], [example]).value == right


# ImageNet, GQA, OCR-VQA


@pytest.mark.parametrize(
    ("answer", "release", "strict"),
    [
        ("goldfinch", 1, 1),
        ("Goldfinch.", 0, 1),
        ("carduelis carduelis", 0, 1),
        ("Carduelis carduelis", 1, 1),
        ("It is a goldfinch, Carduelis carduelis", 1, 1),
        ("a goldfinch", 0, 1),
        ("finch", 1, 0),
        ("c", 1, 0),
        ("", 1, 0),
        ("goldfinches", 0, 0),
        ("ox", 0, 0),
    ],
)
def test_classes_of_imagenet(answer: str, release: float, strict: float) -> None:
    names = "goldfinch, Carduelis carduelis"
    assert [score(ImageNetRelease, answer, names), score(ImageNetStrict, answer, names)] == [release, strict]


def test_classes_of_smolora_have_several_names_and_no_case() -> None:
    names = ("goldfinch", "Carduelis carduelis")
    answers = ("Goldfinch.", "CARDUELIS", "finch", "", "sparrow")
    assert [score(ClassRelease, answer, *names) for answer in answers] == [1, 1, 1, 1, 0]


def test_gqa_lowers_the_case_and_takes_full_stops_off_the_answer_only() -> None:
    answers = ("yes", "Yes", "yes..", " yes", "yes!", "")
    assert [score(GQARelease, answer, "yes") for answer in answers] == [1, 1, 1, 0, 0, 0]
    assert score(GQARelease, "Yes.", "Yes.") == 0


def test_ocr_vqa_compares_lower_case_and_refuses_unanswerable() -> None:
    assert [score(OCRVQARelease, answer, "Jane Doe") for answer in ("jane doe", "Jane Doe.", "")] == [1, 0, 0]
    assert [score(OCRVQARelease, answer, "unanswerable") for answer in ("unanswerable", "Unanswerable")] == [1, 0]


# Grounding


def box_score(answer: str, box: Any = (0.1, 0.2, 0.5, 0.6), size: Any = (640, 480)) -> float:
    example = Example("1", references=("x",), meta={"bbox": list(box), "size": size})
    return GroundingRelease().score_examples([answer], [example]).value


@pytest.mark.parametrize(
    ("answer", "value"),
    [
        ("[0.10, 0.20, 0.50, 0.60]", 1),  # read as .10, 0.20, 0.50, 0.6
        # Read as .1, 0.2, 0.5, 0.4: half of the height, an IoU of 0.5, which is not over it.
        ("[0.1, 0.2, 0.5, 0.40]", 0),
        # Read as .1, 0.2, 0.5, 0.4, since the last digit is dropped, although the box is nearly right.
        ("[0.1, 0.2, 0.5, 0.49]", 0),
        ("[0.1, 0.2, 0.5, 0.41]", 0),
        ("[0.1, 0.2, 0.5, 0.510]", 1),  # 0.31 / 0.4 of the height
        ("0.1, 0.2, 0.5, 0.60", 1),
        ("10.1, 0.2, 0.5, 0.60", 1),  # the first character is dropped, whatever it is
        ("[0.1 0.2 0.5 0.6]", 0),
        ("[0.1, 0.2, 0.5]", 0),
        ("[0.1, 0.2, 0.5, 0.60].", 1),  # brackets are removed wherever they are
        (" [0.1, 0.2, 0.5, 0.60] ", 1),
        ("[0.1, 0.2, nan, 0.60]", 0),
        ("[]", 0),
        ("", 0),
        ("left", 0),
    ],
)
def test_boxes_lose_their_outer_characters(answer: str, value: float) -> None:
    assert box_score(answer) == value


def test_a_right_box_in_pixels_is_compared_with_the_longer_side() -> None:
    pixels = (64, 128, 320, 384)  # 640 times 0.1, 0.2, 0.5, 0.6
    assert box_score("[0.1, 0.2, 0.5, 0.60]", pixels) == 1.0
    assert box_score("[0.1, 0.2, 0.5, 0.60]", pixels, (320, 240)) == 0.0


def test_an_example_without_a_box_is_an_error() -> None:
    with pytest.raises(PlanError, match="example 7 of coin/grounding has no box"):
        GroundingRelease().rate("[0, 0, 1, 1]", Example("7", references=("x",), task="coin/grounding"))


@given(st.lists(st.floats(0, 0.9), min_size=4, max_size=4))
def test_any_box_scores_zero_or_one(numbers: list[float]) -> None:
    assert box_score(json.dumps(numbers)) in (0.0, 1.0)


@given(st.text())
def test_any_answer_is_rated(answer: str) -> None:
    for metric in (ScienceQARelease, ScienceQAStrict, TextVQARelease, ImageNetStrict):
        assert score(metric, answer, "B") in (0.0, 1.0)
    assert box_score(answer) in (0.0, 1.0)


@pytest.mark.parametrize(
    "metric", [ScienceQARelease, ScienceQAStrict, TextVQARelease, ImageNetRelease, ImageNetStrict, GQARelease]
)
def test_the_rules_tell_right_answers_from_wrong_ones(metric: type[Metric]) -> None:
    assert metric().informative([["b"]])
