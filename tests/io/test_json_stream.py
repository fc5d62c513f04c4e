"""Items of large JSON files, one by one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from micl_cli.io import json_stream
from micl_cli.io.json_stream import read_json_items
from micl_cli.io.text import TextError

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**40), 2**40)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=12,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(values, max_size=6), st.sampled_from([None, 1]), st.booleans(), st.integers(1, 40))
def test_items_are_those_of_the_whole_document(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, items: list[Any], indent: int | None, ascii_only: bool, chunk: int
) -> None:
    monkeypatch.setattr(json_stream, "_CHUNK", chunk)
    path = tmp_path / "a.json"
    path.write_text(json.dumps(items, indent=indent, ensure_ascii=ascii_only), encoding="utf-8")
    assert [item for _, item in read_json_items(path)] == items
    path.write_text(json.dumps({"first": [1, {"items": 2}], "items": items, "z": 0}, indent=indent), encoding="utf-8")
    assert [item for _, item in read_json_items(path, "items")] == items


def test_lines_are_those_at_which_items_begin(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text('[\n{"a":\n 1},\n\n{"a": 2}, {"a": 3}\n]\n')
    assert [line for line, _ in read_json_items(path)] == [2, 5, 5]


def test_a_character_may_lie_anywhere(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text('[{"é": 1}]', encoding="utf-8")  # its bytes are the fourth and the fifth
    assert list(read_json_items(path)) == [(1, {"é": 1})]


def test_a_byte_order_mark_is_no_part_of_the_text(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(b"\xef\xbb\xbf[1, 23]")
    assert [item for _, item in read_json_items(path)] == [1, 23]


@pytest.mark.parametrize(
    "text, line, reason",
    [
        ("", 1, "it is not a list"),
        ('{"a": 1}', 1, "it is not a list"),
        ("[1, 2", 1, "comma is missing"),
        ("[1 2]", 1, "comma is missing"),
        ("[1,\n2,]", 2, "Expecting value"),
        ('[1,\n{"a":}]', 2, "Expecting value"),
        ('["\\q"]', 1, "escape"),
        ("[NaN]", 1, "NaN"),
        ("[1] 2", 1, "text follows"),
        ("[" * 100_000, 1, "nested"),
        ('["' + "x" * 100, 1, "Unterminated"),
    ],
)
def test_what_is_no_list_is_refused_with_its_line(tmp_path: Path, text: str, line: int, reason: str) -> None:
    path = tmp_path / "a.json"
    path.write_text(text)
    with pytest.raises(TextError, match=reason) as caught:
        list(read_json_items(path))
    assert caught.value.line == line


@pytest.mark.parametrize(
    "text, reason",
    [
        ("[1]", "not an object"),
        ('{"a": [1]}', "no key 'items'"),
        ('{"items": {}}', "is not a list"),
        ('{"a": 1 "b"', "comma"),
    ],
)
def test_a_document_without_the_list_is_refused(tmp_path: Path, text: str, reason: str) -> None:
    path = tmp_path / "a.json"
    path.write_text(text)
    with pytest.raises(TextError, match=reason):
        list(read_json_items(path, "items"))


def test_an_encoding_other_than_utf_8_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text("[1]", encoding="utf-16")
    with pytest.raises(TextError, match="UTF-16"):
        list(read_json_items(path))


def test_an_item_beyond_the_limit_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps(["x" * (1 << 20)]))
    with pytest.raises(TextError, match="longer"):
        list(read_json_items(path, max_item=1000))
