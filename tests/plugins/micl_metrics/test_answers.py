"""Accuracy and VQA accuracy of short answers."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from micl_cli.api import Metric
from micl_metrics.accuracy import Accuracy
from micl_metrics.answers import normalise
from micl_metrics.vqa_accuracy import VQAAccuracy
from micl_metrics.vqa_answers import normalise_vqa


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("Yes.", "yes"),
        ("  The \n red   ball ", "red ball"),
        ("an umbrella", "umbrella"),
        ("It's", "its"),
        ("t-shirt", "t shirt"),
        ("1,000", "1000"),
        ("3.5", "3.5"),
        ("two", "2"),
        ("none", "0"),
        ("red, blue", "red blue"),
        ("a", "a"),
        ("+", "+"),
        ("", ""),
        ("3 p.m.", "3 pm"),
        ("a.m.", "am"),
        ("Washington, D.C.", "washington dc"),
        ("-5", "-5"),
        ("−5", "-5"),
        ("50%", "50%"),
        ("50 %.", "50%"),
        ("<5", "<5"),
        ("$ 5.50", "$5.50"),
        ("10:30", "10:30"),
        ("1/2", "1/2"),
        ("red/blue", "red blue"),
        ("C#", "c#"),
        ("#1", "#1"),
        ("**yes**", "yes"),
        ('"no"', "no"),
        ("- red", "red"),
        ("3$, 1 dog", "3$ 1 dog"),
        ("wait...what", "wait what"),
        ("...", "..."),
        ("?!", "?!"),
    ],
)
def test_normalised_answers(answer: str, expected: str) -> None:
    assert normalise(answer) == expected


@given(st.text())
@example("C.\u0327")
@example("<'\u0338")
@example("A.\u030a>0")
@example("a_#")
@example("3$,1")
@example("£%0")
def test_normalising_twice_changes_nothing(answer: str) -> None:
    assert normalise(normalise(answer)) == normalise(answer)


def test_accuracy_is_the_share_of_exact_answers() -> None:
    score = Accuracy().score(["The red.", "blue", "", "2"], [["red"], ["green", "Blue!"], ["yes"], ["three"]])
    assert score.each == (1.0, 1.0, 0.0, 0.0)
    assert score.value == 0.5


def test_part_of_an_answer_is_wrong() -> None:
    assert Accuracy().score(["red ball"], [["red"]]).value == 0.0


@pytest.mark.parametrize(
    ("answer", "reference"),
    [
        ("5", "-5"),
        ("-5", "5"),
        ("50", "50%"),
        ("<5", "5"),
        ("5", "$5"),
        ("10 30", "10:30"),
        ("1 2", "1/2"),
        ("c", "c#"),
        ("5", "–5"),
        ("5", "5°"),
        ("5", "~5"),
        ("o-", "o+"),
        ("2 3", "2-3"),
        ("2 3", "2+3"),
        ("m", "a.m."),
    ],
)
def test_accuracy_tells_answers_apart_that_differ_in_a_sign(answer: str, reference: str) -> None:
    assert Accuracy().score([answer], [[reference]]).value == 0.0


# What the evaluation script of the VQA challenge makes of an answer.
VQA = {
    "3 p.m.": "3 pm",
    "U.S.A.": "usa",
    "washington d.c.": "washington dc",
    "a.m.": "am",
    "50%": "50%",
    "$5": "$5",
    "-5": " 5",
    "10:30": "10:30",
    "c#": "c#",
    "we're": "we're",
    "dont": "don't",
    "couldnt've": "couldn't've",
    "somebody'd": "somebodyd",
    "hell": "hell",
    "red/blue": "red blue",
    "red / blue": "red blue",
    "red/blue, 3": "red blue 3",
    "1,000-2": "10002",
    "t-shirt": "t shirt",
    "t-shirt - red": "tshirt red",
    "The two,": "2",
    "the": "",
    "3.5": "3.5",
    "yes.no": "yesno",
    "one\ntwo": "1 2",
    "black & white": "black & white",
}


@pytest.mark.parametrize("answer", VQA)
def test_answers_are_normalised_as_in_the_vqa_challenge(answer: str) -> None:
    assert normalise_vqa(answer) == VQA[answer].strip()


@pytest.mark.parametrize(
    ("answer", "reference", "expected"),
    [
        ("3 pm", "3 p.m.", 1),
        ("am", "a.m.", 1),
        ("m", "a.m.", 0),
        ("50", "50%", 0),
        ("c", "c#", 0),
        ("he'll", "hell", 0),
    ],
)
def test_nine_of_ten_annotators_count_as_in_the_vqa_challenge(answer: str, reference: str, expected: float) -> None:
    assert VQAAccuracy().score([answer], [[reference] * 9 + ["zzz"]]).value == expected


@pytest.mark.parametrize(("hits", "expected"), [(0, 0.0), (1, 0.3), (2, 0.6), (3, 0.9), (4, 1.0), (10, 1.0)])
def test_vqa_accuracy_of_ten_annotators(hits: int, expected: float) -> None:
    """The published values: 0, 30, 60, 90 and 100 per cent."""
    references = ["yes"] * hits + ["no"] * (10 - hits)
    assert VQAAccuracy().score(["yes"], [references]).value == pytest.approx(expected)


@given(st.lists(st.sampled_from(["yes", "no", "maybe"]), min_size=4, max_size=10))
def test_vqa_accuracy_is_the_mean_over_subsets(references: list[str]) -> None:
    others = itertools.combinations(references, len(references) - 1)
    expected = [min(1.0, subset.count("yes") / 3) for subset in others]
    assert VQAAccuracy().score(["yes"], [references]).value == pytest.approx(sum(expected) / len(expected))


@pytest.mark.parametrize("annotators", [1, 2, 3, 4])
def test_what_everybody_says_is_right(annotators: int) -> None:
    assert VQAAccuracy().score(["Dog"], [["dog"] * annotators]).value == 1.0


def test_half_of_two_annotators_is_half_right() -> None:
    assert VQAAccuracy().score(["dog"], [["dog", "cat"]]).value == 0.5


@pytest.mark.parametrize("metric", [Accuracy, VQAAccuracy])
class TestEdges:
    def test_one_reference_makes_both_equal(self, metric: type[Metric]) -> None:
        assert metric().score(["Two", "red"], [["2"], ["blue"]]).each == (1.0, 0.0)

    def test_an_empty_answer_is_wrong(self, metric: type[Metric]) -> None:
        assert metric().score(["", "  "], [[""], ["yes"]]).each == (0.0, 0.0)

    def test_no_examples_score_zero(self, metric: type[Metric]) -> None:
        assert metric().score([], [])[:2] == (0.0, ())

    def test_unequal_lengths_are_refused(self, metric: type[Metric]) -> None:
        with pytest.raises(ValueError, match="2 answers"):
            metric().score(["a", "b"], [["a"]])
