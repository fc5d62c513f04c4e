"""Questions: the places of media, turns of a dialogue, and texts that are none."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from micl_cli.api.task import Media
from micl_cli.errors import UsageError
from micl_cli.session.question import check_text, content_of, dialogue

CAT, DOG, BELL = Media("image", Path("cat.png")), Media("image", Path("dog.png")), Media("audio", Path("bell.wav"))


@given(st.text())
def test_without_marks_media_come_before_the_text_as_it_is(text: str) -> None:
    if "<image>" not in text:
        assert content_of(text, [CAT]) == ((CAT, text) if text else (CAT,))
    assert content_of(text, []) == ((text,) if text else ())


def test_marks_are_the_places_of_their_modality() -> None:
    assert content_of("<image> or <image>?", [CAT, BELL, DOG]) == (BELL, CAT, "or", DOG, "?")
    assert content_of("<video> is a tag", [CAT]) == (CAT, "<video> is a tag")
    for text in ("<image>", "<image><image><image>"):
        with pytest.raises(UsageError, match=f"the text has {text.count('<')} marks <image>, and 2 are given"):
            content_of(text, [CAT, DOG])


def test_turns_become_one_content_with_a_line_for_each() -> None:
    assert dialogue([(CAT, "what?"), ("a cat",), ("sure?",), (DOG,), (DOG, "and this?")]) == (
        *(CAT, "what?\na cat\nsure?"),
        *(DOG, DOG, "and this?"),
    )
    assert dialogue([]) == ()


def test_halves_of_characters_are_no_text() -> None:
    check_text((CAT, "größer \U0001f600"))
    with pytest.raises(UsageError, match="not UTF-8"):
        check_text(("\udcff",))
