"""Instruction following: the shape of answers."""

from __future__ import annotations

from typing import Any

import pytest

from micl_cli.api import Example, PlanError
from micl_metrics.instruction_following import InstructionFollowing

CAPTION = "A small dog runs over the grass."


def rate(answer: str, references: tuple[str, ...] = (), choices: tuple[str, ...] = (), **meta: Any) -> float:
    return InstructionFollowing().score_examples([answer], [Example("7", (), references, choices, meta=meta)]).value


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("red", 1.0),
        ("dark red", 1.0),
        ("it is red", 0.0),
        ("The Great White Shark", 1.0),  # the reference itself
        ("the great white", 0.0),
        ("wrong answer", 1.0),
        ("", 0.0),
        ("  \n", 0.0),
    ],
)
def test_a_short_answer_has_at_most_two_words_or_is_the_reference(answer: str, expected: float) -> None:
    assert rate(answer, ("the great white shark",)) == expected


@pytest.mark.parametrize(
    ("answer", "expected"), [("A", 1.0), ("b", 1.0), (" C ", 1.0), ("A.", 0.0), ("AB", 0.0), ("red", 0.0), ("1", 0.0)]
)
def test_a_choice_is_one_letter(answer: str, expected: float) -> None:
    assert rate(answer, ("A",), ("red", "blue")) == expected
    assert rate(answer, ("A",), shape="choice") == expected


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("A dog on the grass.", 1.0),
        ("A dog on the grass", 0.0),
        ("A dog on grass.", 0.0),  # four words
        ("Over the grass.", 1.0),  # part of a reference
        ("the cat.", 0.0),
        ("", 0.0),
    ],
)
def test_a_caption_ends_with_a_point_and_has_five_words(answer: str, expected: float) -> None:
    assert rate(answer, (CAPTION,), shape="captioning") == expected


def test_several_sentences_as_references_ask_for_a_caption() -> None:
    assert rate("red", (CAPTION, "A dog that is small is running.")) == 0.0
    assert rate("red", (CAPTION,)) == 1.0
    assert rate("red", ("red", "dark red", "a red colour")) == 1.0


def test_an_unknown_shape_is_an_error_with_the_example() -> None:
    with pytest.raises(PlanError, match="example 7") as caught:
        rate("red", ("red",), shape="essay")
    assert "qa, choice, captioning" in caught.value.hint
