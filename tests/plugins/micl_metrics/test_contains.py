"""Containment of a reference in an answer."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from micl_metrics.contains import Contains


@pytest.mark.parametrize(
    ("answer", "references", "expected"),
    [
        ("The answer is Red.", ["red"], 1.0),
        ("red", ["dark red"], 0.0),
        ("snow", ["no"], 1.0),
        ("it is a\n big   dog", ["A big dog"], 1.0),
        ("blue", ["red", "blue"], 1.0),
        ("答案是红色。", ["红色"], 1.0),
        ("cafe\u0301 au lait", ["CAFÉ"], 1.0),
        ("about ５０％", ["50%"], 1.0),
        ("anything", ["", " "], 0.0),
        ("", ["red"], 0.0),
    ],
)
def test_containment(answer: str, references: list[str], expected: float) -> None:
    assert Contains().score([answer], [references]).each == (expected,)


@given(st.text("abc xyz"), st.text("abc", min_size=1), st.text("abc xyz"))
def test_a_text_contains_its_parts(before: str, part: str, after: str) -> None:
    assert Contains().score([f"{before} {part} {after}"], [[part]]).value == 1.0
