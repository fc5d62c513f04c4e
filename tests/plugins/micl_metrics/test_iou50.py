"""The share of boxes that overlap with the reference box."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from micl_cli.api import Answer, Example, PlanError
from micl_metrics.iou50 import IoU50

RIGHT = [0.0, 0.0, 10.0, 10.0]


def rate(answer: str, references: tuple[str, ...] = (), **meta: Any) -> float:
    return IoU50().score_examples([answer], [Example("7", references=references, meta=meta)]).value


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("[0, 0, 10, 10]", 1.0),
        ("The object is at [0, 0, 10, 6].", 1.0),  # 60 / 100
        ("[0, 0, 10, 5]", 0.0),  # 50 / 100 is not more than half
        ("[5, 5, 15, 15]", 0.0),  # 25 / 175
        ("[10, 10, 0, 0]", 0.0),
        ("[0, 0, 10]", 0.0),
        ("on the left", 0.0),
        ("", 0.0),
    ],
)
def test_more_than_half_must_overlap(answer: str, expected: float) -> None:
    assert rate(answer, bbox=RIGHT) == expected


def test_the_right_box_may_be_text_or_a_reference() -> None:
    assert rate("[0.1,0.1,0.5,0.5]", bbox="[0.10,0.10,0.50,0.52]") == 1.0
    assert rate("[0.1,0.1,0.5,0.5]", references=("[0.1, 0.1, 0.5, 0.5]",)) == 1.0
    assert rate("[0.1,0.1,0.5,0.5]", references=("[0.6, 0.6, 0.9, 0.9]",), bbox=[0.1, 0.1, 0.5, 0.5]) == 1.0


def test_shares_of_the_padded_square_are_compared_with_pixels_by_the_size() -> None:
    """An image of 200 x 100 lies 50 pixels below the top of its square."""
    assert rate("[0, 0.25, 0.5, 0.75]", bbox=[0, 0, 100, 100], size=[200, 100]) == 1.0
    assert rate("[0, 0, 100, 100]", bbox=[0, 0.25, 0.5, 0.75], size=[200, 100]) == 1.0
    assert rate("[0, 0.25, 0.5, 0.75]", bbox=[0, 0, 100, 100]) == 0.0


def test_an_example_without_a_box_is_an_error_with_its_id() -> None:
    with pytest.raises(PlanError, match="example 7") as caught:
        rate("[0, 0, 1, 1]", references=("on the left",), bbox=[1, 2])
    assert "bbox" in caught.value.hint


def test_a_missing_answer_is_wrong() -> None:
    answers = ["[0,0,10,10]", Answer("", missing=True)]
    score = IoU50().score_examples(answers, [Example(str(at), meta={"bbox": RIGHT}) for at in range(2)])
    assert score.each == (1.0, 0.0)


@given(st.tuples(*[st.floats(0, 500)] * 4).filter(lambda box: box[2] > 1 and box[3] > 1), st.floats(0.1, 50))
def test_the_scale_of_both_boxes_does_not_matter(corner: tuple[float, ...], scale: float) -> None:
    x, y, width, height = corner
    box = [x, y, x + width, y + height]
    assert rate(str([scale * value for value in box]), bbox=[scale * value for value in box]) == 1.0
