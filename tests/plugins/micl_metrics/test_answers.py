"""Accuracy and VQA accuracy of short answers."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from micl_cli.api import Metric
from micl_metrics.accuracy import Accuracy
from micl_metrics.answers import normalise
from micl_metrics.vqa_accuracy import VQAAccuracy


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
    ],
)
def test_normalised_answers(answer: str, expected: str) -> None:
    assert normalise(answer) == expected


@given(st.text())
def test_normalising_twice_changes_nothing(answer: str) -> None:
    assert normalise(normalise(answer)) == normalise(answer)


def test_accuracy_is_the_share_of_exact_answers() -> None:
    score = Accuracy().score(["The red.", "blue", "", "2"], [["red"], ["green", "Blue!"], ["yes"], ["three"]])
    assert score.each == (1.0, 1.0, 0.0, 0.0)
    assert score.value == 0.5


def test_part_of_an_answer_is_wrong() -> None:
    assert Accuracy().score(["red ball"], [["red"]]).value == 0.0


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
        assert metric().score([], []) == (0.0, ())

    def test_unequal_lengths_are_refused(self, metric: type[Metric]) -> None:
        with pytest.raises(ValueError, match="2 answers"):
            metric().score(["a", "b"], [["a"]])
