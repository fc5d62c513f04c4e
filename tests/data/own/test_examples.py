"""Values of items: texts, lists, answers of multiple choice, marks of media."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from micl_cli.api import ManifestError, MediumValue, interleave
from micl_cli.api.format import Item
from micl_cli.api.reader import Source
from micl_cli.data.own.columns import ColumnMap, value_at
from micl_cli.data.own.examples import RowBuilder
from micl_cli.data.own.media import MediaPlacement, is_embedded


def build(values: dict[str, Any], separator: str = "", **roles: tuple[str, ...]) -> Any:
    placement = MediaPlacement(Source(Path("/d"), Path("/d"), Path("/d")), given=False, extracts=False)
    columns = ColumnMap((), {"answer": ("answer",), **roles})
    return RowBuilder(columns, placement, "?", separator).row(Item("x:1", values), "1", Path("/d"))


@pytest.mark.parametrize(
    ("value", "references"),
    [
        (" a ", ("a",)),
        (3, ("3",)),
        (["a", None, "b"], ("a", "b")),
        ('["a", "b"]', ("a", "b")),
        ("[music]", ("[music]",)),
        ("[1, 2]", ("[1, 2]",)),
        ("a, b", ("a, b",)),
    ],
)
def test_references(value: Any, references: tuple[str, ...]) -> None:
    assert build({"answer": value}).references == references


def test_a_separator_divides_answers() -> None:
    assert build({"answer": "a; b;;c"}, ";").references == ("a", "b", "c")


@pytest.mark.parametrize("value", [None, "", "  ", [], float("nan"), [""]])
def test_a_missing_answer_is_a_fault(value: Any) -> None:
    with pytest.raises(ManifestError, match="the answer is missing"):
        build({"answer": value})


@pytest.mark.parametrize(
    ("answer", "choices", "reference"),
    [
        ("b", ["a", "b"], "b"),
        (1, ["a", "b"], "b"),
        ("B", ["x", "y"], "y"),
        ("A", ["B", "A"], "A"),
        (0, ["0", "1"], "0"),
        ("1", ["2", "1"], "1"),
    ],
)
def test_the_answer_of_a_choice(answer: Any, choices: list[str], reference: str) -> None:
    row = build({"answer": answer, "choices": choices}, choices=("choices",))
    assert (row.choices, row.references) == (tuple(choices), (reference,))


def test_a_number_that_may_be_a_choice_or_its_index_is_a_fault() -> None:
    with pytest.raises(ManifestError, match="is both a choice and the index of another"):
        build({"answer": 1, "choices": ["1", "0"]}, choices=("choices",))


def test_columns_inside_of_columns() -> None:
    values = {"a": {"text": ["x"]}, "b": [{"t": 1}, {"t": 2}], "a.b": 3}
    assert [value_at(values, name) for name in ("a.text", "b.t", "a.b", "a.x", "c")] == [["x"], [1, 2], 3, None, None]


def test_marks_are_replaced_in_order() -> None:
    a, b, sound = MediumValue("image", "a"), MediumValue("image", "b"), MediumValue("audio", "s")
    assert interleave("<image> or <image>?", [a, b, sound], "x") == (sound, a, "or", b, "?")
    assert interleave("Which?", [a, b], "x") == (a, b, "Which?")
    assert interleave("", [a], "x") == (a,)
    with pytest.raises(ManifestError, match="2 marks <image>, and 1 are given"):
        interleave("<image><image>", [a], "x")


@given(st.lists(st.sampled_from(["<image>", "<audio>", "text", " "])), st.integers(0, 3), st.integers(0, 3))
def test_all_media_are_in_the_content_or_it_is_a_fault(parts: list[str], images: int, sounds: int) -> None:
    media = [MediumValue("image", n) for n in range(images)] + [MediumValue("audio", n) for n in range(sounds)]
    try:
        content = interleave("".join(parts), media, "x")
    except ManifestError:
        assert parts.count("<image>") not in (0, images) or parts.count("<audio>") not in (0, sounds)
        return
    placed = [part for part in content if isinstance(part, MediumValue)]
    assert sorted(placed) == sorted(media)
    assert not any("<image>" in part for part in content if isinstance(part, str))


def test_what_holds_bytes() -> None:
    yes = [b"x", {"bytes": b"x", "path": None}, "data:image/png;base64,AAAA", "QUJD" * 40, [b"x"]]
    no = ["a/b.png", "", None, 3, {"bytes": None, "path": "a.png"}, "ab/" + "0123456789abcdef" * 4, ["a.png"]]
    assert all(map(is_embedded, yes))
    assert not any(map(is_embedded, no))
