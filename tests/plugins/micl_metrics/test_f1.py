"""Token F1, worked by hand from SQuAD's official rule."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from micl_metrics.f1 import F1

TEXT = st.lists(st.sampled_from(["red", "blue", "the", "dog", "50%", "t-shirt", "."]), max_size=6).map(" ".join)


@pytest.mark.parametrize(
    ("answer", "references", "expected"),
    [
        ("the red ball", ["a red ball"], 1.0),
        ("red ball", ["red"], 2 * 0.5 * 1 / 1.5),
        ("red red", ["red"], 2 * 0.5 * 1 / 1.5),
        ("in the big red house", ["the red house"], 2 * (2 / 4) * 1 / (2 / 4 + 1)),
        ("Red, ball!", ["red ball"], 1.0),
        ("t-shirt", ["tshirt"], 1.0),
        ("50", ["50%"], 1.0),
        ("blue", ["red"], 0.0),
        ("red dog", ["blue", "dog", "red cat"], 2 * 0.5 * 1 / 1.5),
        ("A", ["A"], 1.0),
        ("A", ["B"], 0.0),
        ("", ["red"], 0.0),
        ("!", ["."], 0.0),
        ("一只红色的猫", ["红色的猫"], 2 * (4 / 6) * 1 / (4 / 6 + 1)),
    ],
)
def test_f1_by_hand(answer: str, references: list[str], expected: float) -> None:
    assert F1().score([answer], [references]).each[0] == pytest.approx(expected)


@given(TEXT, TEXT)
def test_f1_is_a_share_and_the_same_in_both_directions(one: str, other: str) -> None:
    value = F1().score([one], [[other]]).value
    assert 0 <= value <= 1
    assert value == F1().score([other], [[one]]).value


@given(TEXT, st.lists(TEXT, min_size=1, max_size=4))
def test_more_references_never_lower_it(answer: str, references: list[str]) -> None:
    assert F1().score([answer], [references]).value >= F1().score([answer], [references[:1]]).value
