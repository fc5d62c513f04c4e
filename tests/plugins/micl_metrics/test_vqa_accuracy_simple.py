"""VQA accuracy without leaving an annotator out."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from micl_metrics.vqa_accuracy import VQAAccuracy
from micl_metrics.vqa_accuracy_simple import VQAAccuracySimple

ANSWERS = st.lists(st.sampled_from(["yes", "no", "maybe"]), min_size=4, max_size=10)


@pytest.mark.parametrize(("hits", "expected"), [(0, 0.0), (1, 1 / 3), (2, 2 / 3), (3, 1.0), (10, 1.0)])
def test_three_of_ten_annotators_are_enough(hits: int, expected: float) -> None:
    references = ["yes"] * hits + ["no"] * (10 - hits)
    assert VQAAccuracySimple().score(["Yes."], [references]).each[0] == pytest.approx(expected)


@pytest.mark.parametrize("annotators", [1, 2, 3, 4])
def test_what_everybody_says_is_right(annotators: int) -> None:
    assert VQAAccuracySimple().score(["two"], [["2"] * annotators]).value == 1.0


def test_half_of_two_annotators_is_half_right() -> None:
    assert VQAAccuracySimple().score(["dog"], [["dog", "cat"]]).value == 0.5


def test_an_empty_answer_is_wrong() -> None:
    assert VQAAccuracySimple().score([" "], [["", ""]]).value == 0.0


@given(ANSWERS)
def test_it_is_at_least_the_mean_over_leaving_one_out(references: list[str]) -> None:
    simple, official = (metric().score(["yes"], [references]).value for metric in (VQAAccuracySimple, VQAAccuracy))
    assert official - 1e-9 <= simple <= 1
