"""Answers of language models: whether they were cut, and how long references are."""

from __future__ import annotations

import pytest

from micl_backbones.language import answers_of


@pytest.mark.parametrize(
    ("ids", "cut"),
    [
        ([5, 6, 7], True),
        ([5, 6, 9], False),
        ([5, 9, 0], False),
        ([5, 6], False),
        ([], False),
    ],
)
def test_an_answer_without_its_end_at_the_maximum_length_was_cut(ids: list[int], cut: bool) -> None:
    (answer,) = answers_of(["a dog"], [ids], {9}, max_new_tokens=3)
    assert (answer, answer.cut) == ("a dog", cut)
