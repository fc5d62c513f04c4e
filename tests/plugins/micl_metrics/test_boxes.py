"""Boxes in answers and their overlap."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from micl_metrics.boxes import Box, iou, parse_box, to_box

CORNER = st.floats(0, 1000, allow_nan=False)
BOX = st.builds(lambda x, y, width, height: Box(x, y, x + width, y + height), *[CORNER] * 4)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[0.1, 0.2, 0.3, 0.4]", (0.1, 0.2, 0.3, 0.4)),
        ("[.1,.2,.3,.4]", (0.1, 0.2, 0.3, 0.4)),
        ("The box is [[10, 20, 30, 40]].", (10, 20, 30, 40)),
        ("(1e-1, 2E1, 3., 4)", (0.1, 20, 3, 4)),
        ("-1 +2 -3 4 5 6", (-1, 2, -3, 4)),
        ("x1=0.1, y1=0.2, x2=0.3, y2=0.4", (0.1, 0.2, 0.3, 0.4)),
        ("(10,20)-(30,40)", (10, 20, 30, 40)),
        ("[0.1, 0.2, 0.3]", None),
        ("", None),
        ("on the left", None),
        ("1e999 2 3 4", None),
    ],
)
def test_the_first_four_numbers_are_the_box(text: str, expected: tuple[float, ...] | None) -> None:
    assert parse_box(text) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ([1, 2, 3, 4], (1, 2, 3, 4)),
        ("[0.1,0.2,0.3,0.4]", (0.1, 0.2, 0.3, 0.4)),
        ([1, 2, 3], None),
        ([1, 2, 3, True], None),
        ([1, 2, 3, float("nan")], None),
        ([1, 2, 3, "4"], None),
        (None, None),
        ({"x": 1}, None),
    ],
)
def test_boxes_of_annotations(value: Any, expected: tuple[float, ...] | None) -> None:
    assert to_box(value) == expected


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        (Box(0, 0, 2, 2), Box(0, 0, 2, 2), 1.0),
        (Box(0, 0, 2, 2), Box(1, 0, 3, 2), 2 / 6),
        (Box(0, 0, 1, 1), Box(1, 1, 2, 2), 0.0),
        (Box(0, 0, 4, 4), Box(1, 1, 3, 3), 4 / 16),
        (Box(2, 2, 0, 0), Box(0, 0, 2, 2), 0.0),
        (Box(1, 1, 1, 1), Box(1, 1, 1, 1), 0.0),
    ],
)
def test_overlap_by_hand(one: Box, other: Box, expected: float) -> None:
    assert iou(one, other) == pytest.approx(expected)


def test_shares_of_the_padded_square_become_pixels() -> None:
    """An image of 200 x 100 lies 50 pixels below the top of its square."""
    assert Box(0.0, 0.25, 0.5, 0.75).in_pixels((200, 100)) == (0, 0, 100, 100)
    assert Box(0.25, 0.0, 0.75, 0.5).in_pixels((100, 200)) == (0, 0, 100, 100)


@given(BOX, BOX)
def test_overlap_is_symmetric_and_at_most_one(one: Box, other: Box) -> None:
    assert 0 <= iou(one, other) <= 1 + 1e-9
    assert iou(one, other) == pytest.approx(iou(other, one))


@given(st.text())
def test_any_text_is_parsed(text: str) -> None:
    assert parse_box(text) is None or len(parse_box(text) or ()) == 4
