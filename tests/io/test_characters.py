from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from micl_cli.io.characters import escape, has_control


@pytest.mark.parametrize(
    "text",
    ["9.22\u202fPM", "a\u00a0b", "写真\u3000一", "می\u200cخواهم", "\U0001f468\u200d\U0001f469", "\u05d0\u200f", "t:1"],
)
def test_ordinary_writing_is_shown_as_it_is(text: str) -> None:
    assert not has_control(text)
    assert escape(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\x1b[31m", "a\\x1b[31m"),
        ("a\x85b", "a\\x85b"),
        ("a\u2028b", "a\\u2028b"),
        ("a\u202eb", "a\\u202eb"),
        ("a\u2066b", "a\\u2066b"),
        ("\ud800", "\\ud800"),
    ],
)
def test_controls_are_found_and_escaped(text: str, shown: str) -> None:
    assert has_control(text)
    assert escape(text) == shown


def test_kept_characters_are_not_escaped() -> None:
    assert escape("a\nb\x07", keep="\n") == "a\nb\\x07"


@given(st.text(st.characters()))
def test_escaped_text_has_no_controls_and_is_stable(text: str) -> None:
    shown = escape(text)
    assert not has_control(shown)
    assert not any(unicodedata.category(character) in {"Cc", "Cs"} for character in shown)
    assert escape(shown) == shown
