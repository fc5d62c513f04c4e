from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.random import default_rng

from micl_cli.api import Example
from micl_tasks.mini.attributes import MiniAttributes, _best_pairing, f1, parse
from micl_tasks.mini.lamps import LAMP
from micl_tasks.mini.language import FIELDS, Field
from micl_tasks.mini.melodies import MELODY
from micl_tasks.mini.patterns import PATTERN

EVERY = {**FIELDS, "patterns": PATTERN, "melodies": MELODY, "lamps": LAMP}
FAMILIES = pytest.mark.parametrize("field", EVERY.values(), ids=EVERY)


def score(answers: list[str], references: list[list[str]]) -> tuple[float, float]:
    result = MiniAttributes().score(answers, references)
    return result.value, result.figures["exact"]


@FAMILIES
@given(seed=st.integers(0, 2**32))
def test_the_template_of_a_caption_does_not_matter(field: Field, seed: int) -> None:
    first, *others = field.captions(field.draw(default_rng(seed)))
    assert parse(first)
    assert [f1(other, first) for other in others] == [1.0] * len(others)


@FAMILIES
@given(seed=st.integers(0, 2**32))
def test_captions_of_other_scenes_are_not_exact(field: Field, seed: int) -> None:
    rng = default_rng(seed)
    one, two = field.draw(rng), field.draw(rng)
    if one != two:
        assert f1(field.captions(one)[0], field.captions(two)[0]) < 1.0


@pytest.mark.parametrize(
    ("answer", "reference", "expected"),
    [
        # 3 attributes each; 2 agree: 2 * 2 / 6
        ("a red star at the top left", "a red circle at the top left", 2 / 3),
        # 3 and 6 attributes; 3 agree: 2 * 3 / 9
        ("a red star at the top left", "a red star at the top left and a blue ring at the top right", 2 / 3),
        # the colours are swapped: 2 of 3 attributes of each shape agree
        (
            "a blue star at the top left and a red ring at the top right",
            "a red star at the top left and a blue ring at the top right",
            2 / 3,
        ),
        # a place first, and the shapes in another order, say the same
        (
            "at the top right is a blue ring and at the top left is a red star",
            "a red star at the top left and a blue ring at the top right",
            1.0,
        ),
        # sounds in the wrong order: the pitch of both is "low", the timbres differ
        ("a low buzz, then a low beep", "a low beep, then a low buzz", 1 / 2),
        # a colour of the ground does not count as that of the frame
        ("fine red dots on a blue ground", "fine red dots on a white ground in a blue frame", 2 * 3 / (4 + 5)),
        ("", "a low beep", 0.0),
        ("the weather is nice", "a low beep", 0.0),
    ],
)
def test_f1_of_attributes(answer: str, reference: str, expected: float) -> None:
    assert f1(answer, reference) == pytest.approx(expected)


def test_the_share_of_exact_captions_is_reported() -> None:
    references = [["a low beep"], ["a high buzz"]]
    assert score(["you hear a low beep", "a low buzz"], references) == (0.75, 0.5)


def test_a_missing_answer_is_wrong() -> None:
    from micl_cli.api import Answer

    example = Example("1", references=("a low beep",))
    assert MiniAttributes().score_examples([Answer("", missing=True)], [example]).value == 0.0


@given(st.lists(st.lists(st.integers(0, 4), min_size=3, max_size=3), max_size=6))
def test_elements_are_paired_so_that_most_attributes_agree(counts: list[list[int]]) -> None:
    from scipy.optimize import linear_sum_assignment

    expected = 0
    if counts:
        rows, columns = linear_sum_assignment(np.array(counts), maximize=True)
        expected = int(np.array(counts)[rows, columns].sum())
    assert _best_pairing(counts) == expected


@given(st.text(max_size=200))
def test_any_text_can_be_scored(answer: str) -> None:
    assert 0.0 <= f1(answer, "a red star at the top left") <= 1.0
