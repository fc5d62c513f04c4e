"""Files that would block, never end or take all memory are refused at once."""

from __future__ import annotations

import json
import os
import resource
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from micl_cli.io.text import (
    TextError,
    parse_json,
    parse_toml,
    read_head,
    read_json,
    read_lines,
    read_text,
    read_toml,
)

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

READERS: list[Callable[[Path], Any]] = [read_text, read_toml, read_json, lambda path: list(read_lines(path))]
posix = pytest.mark.skipif(os.name != "posix", reason="named pipes and devices")


@posix
@pytest.mark.parametrize("read", READERS)
def test_pipes_and_devices_are_refused_without_waiting(tmp_path: Path, read: Callable[[Path], Any]) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "zero").symlink_to("/dev/zero")
    for name in ("pipe", "zero"):
        with pytest.raises(OSError, match="not a regular file"):
            read(tmp_path / name)
    with pytest.raises(IsADirectoryError):
        read(tmp_path)
    with pytest.raises(FileNotFoundError):
        read(tmp_path / "nothing")


@pytest.mark.parametrize("read", READERS)
def test_sparse_file_is_refused_without_reading_it(tmp_path: Path, read: Callable[[Path], Any]) -> None:
    with (tmp_path / "sparse").open("wb") as file:
        file.truncate(3 << 30)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(TextError, match="it is larger than"):
        read(tmp_path / "sparse")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000  # KiB


def test_long_line_is_refused_with_its_number(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    path.write_text("short\n" + "x" * 100 + "\n")
    with pytest.raises(TextError, match="larger than 50 bytes") as caught:
        list(read_lines(path, max_line=50))
    assert caught.value.line == 2
    with pytest.raises(TextError, match="larger than 100 bytes"):
        list(read_lines(path, limit=100))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_lines_end_at_newlines_only(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "lines"
    path.write_text("a\u2028b\r\n\n \n  c\x0bd", encoding=encoding, newline="")
    assert list(read_lines(path)) == [(1, "a\u2028b"), (4, "  c\x0bd")]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_byte_order_mark_and_line_ends(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "file"
    path.write_text("seed = 3\r\nname = 'é'\r\n", encoding=encoding, newline="")
    assert read_text(path) == "seed = 3\nname = 'é'\n"
    assert read_toml(path) == {"seed": 3, "name": "é"}


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "latin-1"])
def test_other_encodings_are_named(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "file"
    path.write_text("name = 'é'", encoding=encoding)
    named = {"latin-1": "not UTF-8"}.get(encoding, encoding[:6].upper())
    with pytest.raises(TextError, match=f"it is .*{named}.*save it as UTF-8"):
        read_toml(path)


@pytest.mark.parametrize(
    "text",
    [
        ".".join(["a"] * 60_000) + " = 1",
        "[" + ".".join(["a"] * 60_000) + "]",
        " . ".join(['"a.b"'] * 60_000) + " = 1",
        "x = {" + ".".join(["'a'"] * 60_000) + " = 1}",
        "x = " + "[" * 100_000,
        "x = " + "{a = " * 100_000,
    ],
)
def test_deep_toml_is_refused_before_it_is_parsed(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tomllib, "loads", lambda text: pytest.fail("it was parsed"))
    with pytest.raises(TextError, match="more than 16 levels"):
        parse_toml(text)


def test_dots_and_brackets_in_strings_and_comments_are_no_levels() -> None:
    many = "a.[{" * 100
    text = (
        f'# {many}\na = "{many}"\nb = \'{many}\'\nc = """\\"{many}\n"x" {many}"""\nd = \'\'\'{many}\n\'{many}\'\'\'\n'
    )
    assert parse_toml(text)["b"] == many
    assert parse_toml(".".join("abcdefghijklmnop") + " = 1")["a"]


@pytest.mark.parametrize("quote", ['"', "'", '"""', "'''", '"""\\"""\\'])
def test_unterminated_strings_are_found_quickly(quote: str) -> None:
    with pytest.raises(TextError):
        parse_toml("a = " + quote * 20_000)


def test_numbers_beyond_64_bits_are_refused() -> None:
    with pytest.raises(TextError, match="64 bits"):
        parse_toml(f"seed = [{{a = 0x{'f' * 5000}}}]")
    assert parse_toml("seed = 9223372036854775807") == {"seed": 2**63 - 1}


@pytest.mark.parametrize("text", ["[" * 1_000_000, '{"a": ' * 1_000_000, '{"a": [' * 60])
def test_deep_json_is_refused(text: str) -> None:
    with pytest.raises(TextError, match="more than 100 levels"):
        parse_json(text)


@pytest.mark.parametrize("text", ["NaN", "[Infinity]", "-Infinity", "9" * 5000, "{", ""])
def test_what_is_not_json_is_refused(text: str) -> None:
    with pytest.raises(TextError):
        parse_json(text)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=20,
)


@given(json_values)
def test_json_is_read_as_the_standard_library_reads_it(value: Any) -> None:
    text = json.dumps(value)
    assert parse_json(text) == value
    assert parse_json(json.dumps("[" * 500 + text)) == "[" * 500 + text


@given(st.text(st.sampled_from("ab.\"'\\#[]{}= \n1"), max_size=40))
def test_toml_is_read_as_the_standard_library_reads_it(text: str) -> None:
    try:
        expected = tomllib.loads(text)
    except ValueError:
        with pytest.raises(TextError):
            parse_toml(text)
    else:
        assert parse_toml(text) == expected


def test_the_beginning_of_a_text_may_end_within_a_character(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("\ufeffaé")
    assert [read_head(path, size) for size in (4, 5, 6, 100)] == ["a", "a", "aé", "aé"]
    path.write_bytes(b"a\xc3")
    with pytest.raises(TextError, match="not UTF-8"):
        read_head(path, 100)
    path.write_text("a", encoding="utf-16")
    with pytest.raises(TextError, match="UTF-16"):
        read_head(path, 4)
