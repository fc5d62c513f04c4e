"""Tables in text files."""

from __future__ import annotations

from pathlib import Path

import pytest

from micl_cli.io.csv_text import read_table
from micl_cli.io.text import TextError


def table(tmp_path: Path, content: str | bytes, **options: object) -> list[tuple[int, dict[str, str]]]:
    path = tmp_path / "a.csv"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return list(read_table(path, **options))  # type: ignore[arg-type]


def test_values_are_named_by_the_header(tmp_path: Path) -> None:
    rows = table(tmp_path, 'file,caption\r\na.wav,"rain, and ""wind"""\r\n\r\nb.wav,"two\nlines"\r\n')
    assert rows == [
        (2, {"file": "a.wav", "caption": 'rain, and "wind"'}),
        (5, {"file": "b.wav", "caption": "two\nlines"}),
    ]


def test_a_byte_order_mark_is_no_part_of_the_first_name(tmp_path: Path) -> None:
    assert table(tmp_path, b"\xef\xbb\xbfid,x\n1,2\n") == [(2, {"id": "1", "x": "2"})]


def test_quotation_marks_can_be_ordinary_characters(tmp_path: Path) -> None:
    rows = table(tmp_path, 'a\tb\n"x\t5" pipe\n', delimiter="\t", quoted=False)
    assert rows == [(2, {"a": '"x', "b": '5" pipe'})]


@pytest.mark.parametrize(
    "content, line, reason",
    [
        ("", 1, "empty"),
        ("a,a\n1,2\n", 1, "'a' occurs twice"),
        ("a,\n1,2\n", 1, "no name"),
        ("a,b\n1,2\n1\n", 3, "1 values"),
        ("a,b\n1,2,3\n", 2, "3 values"),
        ('a,b\n1,"2\n', 2, "not a table"),
        ("a,b\n1,2\n".encode("utf-16"), 1, "UTF-16"),
        (b"a,b\n\xff,2\n", 2, "UTF-8"),
    ],
)
def test_a_malformed_table_is_refused_with_its_line(
    tmp_path: Path, content: str | bytes, line: int, reason: str
) -> None:
    with pytest.raises(TextError, match=reason) as caught:
        table(tmp_path, content)
    assert caught.value.line == line
