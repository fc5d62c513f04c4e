"""The common rule for characters."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from micl_metrics.answers import matches, normalise
from micl_metrics.text import UNSPACED, comparable, latin_marks, unify
from micl_metrics.vqa_answers import normalise_vqa


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("cafe\u0301", "café"),
        ("ＡＢＣ　１２３！", "ABC 123!"),
        ("ﾊﾟﾝ", "パン"),
        ("对。", "对. "),
        ("狗、猫，鸟；鱼：吗？", "狗, 猫,鸟;鱼:吗?"),
        ("「犬」『猫』", '"犬""猫"'),
        ("نعم، لا؛ لماذا؟", "نعم,  لا;  لماذا? "),
        ("٣٫٥٪", "3.5%"),
        ("١٬٠٠٠", "1,000"),
        ("हाँ। नहीं॥", "हाँ.  नहीं. "),
        ("१२", "12"),
        ("it’s “so” – or −5…", 'it\'s "so" - or -5...'),
        ("so\u00adft zero\u200bwidth \u200fright\u200e", "soft zerowidth right"),
        ("é ß ø ﬁ ½ ² № ™", "é ß ø ﬁ ½ ² № ™"),
    ],
)
def test_characters_are_unified(text: str, expected: str) -> None:
    assert unify(text) == expected


def test_typographic_marks_of_the_latin_script_can_stay() -> None:
    assert latin_marks("“it’s” – ５。") == "“it’s” – 5. "


def test_comparable_texts_are_in_lower_case_with_single_spaces() -> None:
    assert comparable("  The\n ＲＥＤ　 Ball。") == "the red ball."


@given(st.text())
def test_unifying_twice_changes_nothing(text: str) -> None:
    assert unify(unify(text)) == unify(text)
    assert comparable(comparable(text)) == comparable(text)


@given(st.text())
def test_composed_and_decomposed_text_are_the_same(text: str) -> None:
    assert unify(unicodedata.normalize("NFD", text)) == unify(unicodedata.normalize("NFC", text))


@given(st.text(alphabet=st.characters(max_codepoint=127)))
def test_ascii_stays_as_it_is(text: str) -> None:
    assert unify(text) == text


@pytest.mark.parametrize(
    ("character", "unspaced"), [("字", True), ("か", True), ("ー", True), ("한", False), ("a", False)]
)
def test_scripts_without_spaces(character: str, unspaced: bool) -> None:
    assert bool(UNSPACED.fullmatch(character)) == unspaced


@pytest.mark.parametrize(
    ("answer", "reference"),
    [
        ("对。", "对"),
        ("ＹＥＳ", "yes"),
        ("नहीं।", "नहीं"),
        ("لا؟", "لا"),
        ("٣", "3"),
        ("３．５", "3.5"),
        ("50％", "50%"),
        ("1，000", "1000"),
        ("cafe\u0301", "café"),
        ("“yes”", "yes"),
        ("don’t", "don't"),
        ("wait…", "wait..."),
        ("−5", "-5"),
        ("（赤）", "赤"),
    ],
)
@pytest.mark.parametrize("form", [normalise, normalise_vqa])
def test_short_answers_are_compared_by_the_rule(answer: str, reference: str, form: Callable[[str], str]) -> None:
    assert matches(answer, [reference], form) == 1


@pytest.mark.parametrize(
    ("answer", "reference"),
    [("50", "50％"), ("5", "−5"), ("1、2", "12"), ("٣", "3%"), ("cafe", "café"), ("5", "٥٪"), ("5:30", "530")],
)
def test_signs_of_numbers_and_accents_still_count(answer: str, reference: str) -> None:
    assert matches(answer, [reference]) == 0


def test_sentences_of_scripts_without_spaces_are_not_joined() -> None:
    assert normalise("你好。世界") == "你好 世界"
