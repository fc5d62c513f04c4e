"""Equality after upper-casing, as UCIT and TriGap score answers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from micl_metrics.exact_upper import ExactUpper


@pytest.mark.parametrize(
    ("answer", "references", "expected"),
    [
        ("a", ["A"], 1.0),
        ("Great White Shark", ["great white shark"], 1.0),
        ("A.", ["A"], 0.0),
        (" A", ["A"], 0.0),
        ("A\n", ["A"], 0.0),
        ("Ａ", ["A"], 0.0),
        ("straße", ["STRASSE"], 1.0),
        ("no", ["yes", "NO"], 1.0),
        ("", ["A"], 0.0),
    ],
)
def test_nothing_is_stripped_or_normalised(answer: str, references: list[str], expected: float) -> None:
    assert ExactUpper().score([answer], [references]).each == (expected,)


def test_the_score_is_the_mean() -> None:
    assert ExactUpper().score(["a", "b", "c", "d"], [["A"], ["B"], ["C"], ["x"]]).value == 0.75


@given(st.text())
def test_a_text_equals_itself(text: str) -> None:
    assert ExactUpper().score([text], [[text]]).value == 1.0


def test_an_example_without_reference_is_refused() -> None:
    with pytest.raises(ValueError, match="no reference"):
        ExactUpper().score(["a"], [[]])
