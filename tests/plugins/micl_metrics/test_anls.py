"""ANLS with its cut, and TriGap's without."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from micl_metrics.anls import ANLS, ANLSStar, edit_distance

TEXT = st.text("abc ", max_size=8)


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("kitten", "sitting", 3),
        ("flaw", "lawn", 2),
        ("", "abc", 3),
        ("abc", "abc", 0),
        ("ab", "ba", 2),
        ("書く", "書き", 1),
    ],
)
def test_edit_distances(one: str, other: str, expected: int) -> None:
    assert edit_distance(one, other) == expected


@pytest.mark.parametrize(
    ("answer", "references", "anls", "star"),
    [
        ("Hello World", ["hello world"], 1.0, 1.0),
        ("hello wrld", ["hello world"], 10 / 11, 10 / 11),
        ("abcd", ["abxx"], 0.5, 0.5),
        ("abcde", ["abxxx"], 0.0, 0.4),
        ("", ["abc"], 0.0, 0.0),
        ("kitten", ["dog", "sitting", "mitten"], 5 / 6, 5 / 6),
        ("  12  Main St ", ["12 main st"], 1.0, 10 / 11),
        ("１２", ["12"], 1.0, 0.0),
    ],
)
def test_similarity_by_hand(answer: str, references: list[str], anls: float, star: float) -> None:
    assert ANLS().score([answer], [references]).each[0] == pytest.approx(anls)
    assert ANLSStar().score([answer], [references]).each[0] == pytest.approx(star)


@given(TEXT, TEXT, TEXT)
def test_the_edit_distance_is_a_metric(one: str, other: str, third: str) -> None:
    assert edit_distance(one, other) == edit_distance(other, one)
    assert (edit_distance(one, other) == 0) == (one == other)
    assert edit_distance(one, third) <= edit_distance(one, other) + edit_distance(other, third)
    assert edit_distance(one, other) <= max(len(one), len(other))


@given(TEXT, st.lists(TEXT, min_size=1, max_size=3))
def test_both_are_shares_and_the_cut_only_lowers(answer: str, references: list[str]) -> None:
    star = ANLSStar().score([answer.strip()], [[" ".join(text.split()) for text in references]]).value
    cut = ANLS().score([" ".join(answer.split())], [references]).value
    assert 0 <= cut <= 1
    assert 0 <= star <= 1
    assert cut == 0 or cut >= 0.5
