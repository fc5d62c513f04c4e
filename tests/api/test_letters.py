"""The choices that a prompt lists, and the letter that a free reply names."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from micl_cli.api import Example, choices_in, choices_of, chosen_letter, lettered

CHOICES = {"A": "red", "B": "dark red", "C": "green", "D": "4"}


@pytest.mark.parametrize(
    ("reply", "letter"),
    [
        ("B", "B"),
        ("b", "B"),
        ("(c)", "C"),
        (" D.\n", "D"),
        ("**B**", "B"),
        ("E", ""),
        ("B. dark red", "B"),
        ("C: since it grows", "C"),
        ("The answer is (B).", "B"),
        ("the answer is b", ""),
        ("**Answer:** C", "C"),
        ("Option B is right, so the answer is C", "C"),
        ("(A) is not, (B) neither", ""),
        ("certainly (D)", "D"),
        ("dark red", "B"),
        ("Red.", "A"),
        ("it is dark red", "B"),
        ("red and green", ""),
        ("dark red, not red", ""),
        ("first red, but the answer is: green", "C"),
        ("reddish", ""),
        ("4", "D"),
        ("4.5", ""),
        ("So C", "C"),
        ("A dog is there", ""),
        ("A dog, so A", "A"),
        ("no idea", ""),
        ("", ""),
    ],
)
def test_a_reply_names_at_most_one_choice(reply: str, letter: str) -> None:
    assert chosen_letter(reply, CHOICES) == letter


@pytest.mark.parametrize(
    ("prompt", "choices"),
    [
        ("Which?\nChoices:\n(A) red\n(B) dark red\n", {"A": "red", "B": "dark red"}),
        ("Which? (A) red (B) dark red", {"A": "red", "B": "dark red"}),
        ("Which?\nA. red\nB. dark red", {"A": "red", "B": "dark red"}),
        ("Which?\nA: red\nB: dark red", {"A": "red", "B": "dark red"}),
        ("Which part (A) is it?", {}),
        ("Which?\n(B) red\n(C) green", {}),
        ("Which?", {}),
    ],
)
def test_choices_are_listed_by_letters_from_a_on(prompt: str, choices: dict[str, str]) -> None:
    assert choices_in(prompt) == choices
    assert choices_of(Example("1", (prompt,))) == choices


def test_own_choices_come_before_those_of_the_prompt() -> None:
    prompt = ("(A) x (B) y",)
    assert choices_of(Example("1", prompt, choices=("red", "green"))) == {"A": "red", "B": "green"}
    assert choices_of(Example("1", prompt, meta={"choices": {"A": "up", "B": "down"}})) == {"A": "up", "B": "down"}


@given(st.text(max_size=30), st.lists(st.text(max_size=5), max_size=5))
def test_a_letter_is_one_of_the_choices(reply: str, texts: list[str]) -> None:
    assert chosen_letter(reply, lettered(texts)) in {"", *lettered(texts)}
