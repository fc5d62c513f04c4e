from __future__ import annotations

import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from micl_cli.cli.console import (
    echo_json,
    escape,
    note,
    output,
    table,
    wants_colour,
    warn,
)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def plain() -> None:
    output.reset()


def test_a_table_is_aligned_and_numbers_stand_to_the_right() -> None:
    assert table(["name", "n", "text"], [["a", 1, "x"], ["bcd", 20, None]]).splitlines() == [
        "name   n  text",
        "a      1  x",
        "bcd   20",
    ]


def test_an_empty_table_is_its_head() -> None:
    assert table(["kind", "name"], []) == "kind  name"


def test_a_long_last_column_is_wrapped_below_itself() -> None:
    lines = table(["a", "text"], [["x", "some words that are too long for one line"]], width=28).splitlines()
    assert lines == ["a  text", "x  some words that are too", "   long for one line"]


def test_long_texts_are_wrapped_in_every_column_the_widest_first() -> None:
    row = ["mini/img_cap,mini/aud_qa,mini/vid_qa", "a text of several words", 12]
    assert table(["tasks", "text", "n"], [row], width=40).splitlines() == [
        "tasks          text                    n",
        "mini/img_cap,  a text of several      12",
        "mini/aud_qa,   words",
        "mini/vid_qa",
    ]


def test_optional_columns_are_left_out_before_rows_become_blocks() -> None:
    headers, row = ["run", "seed", "tasks"], ["0123456789ab", 0, "mini/img_cap"]
    assert table(headers, [row], width=32, optional=["seed"]).splitlines()[0] == "run           seed  tasks"
    assert table(headers, [row], width=26, optional=["seed"]).splitlines()[0] == "run           tasks"
    assert (
        table(headers, [row, row], width=20, optional=["seed"]).split("\n\n")
        == ["run    0123456789ab\nseed   0\ntasks  mini/img_cap"] * 2
    )


def test_named_columns_stand_to_the_right() -> None:
    assert table(["a", "MFN"], [["x", "5.00"], ["y", ""]], right=["MFN"]).splitlines() == ["a   MFN", "x  5.00", "y"]


@given(
    rows=st.lists(st.tuples(st.text(), st.text(max_size=9), st.integers(0, 9999)), min_size=1),
    width=st.integers(24, 90),
)
def test_no_line_is_wider_than_the_terminal(rows: list[tuple[str, str, int]], width: int) -> None:
    from micl_cli.cli.console import _columns

    text = table(["text", "word", "n"], [["學" * 9, "x", 1], *rows], width=width)
    assert all(_columns(line) <= width for line in text.split("\n"))


def test_elsewhere_than_on_a_terminal_a_row_is_a_line() -> None:
    assert len(table(["text"], [["word " * 200]]).splitlines()) == 2


def test_wide_characters_take_two_columns() -> None:
    assert table(["a", "b"], [["学習", "x"], ["abcd", "y"]]).splitlines()[1:] == ["学習  x", "abcd  y"]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain ünï 学", "plain ünï 学"),
        ("\x1b[2J\r\n\t", "\\x1b[2J\\r\\n\\t"),
        ("\x9b31m", "\\x9b31m"),
        ("a\u202eb", "a\\u202eb"),
        ("\udc80", "\\udc80"),
    ],
)
def test_what_steers_a_terminal_is_escaped(text: str, shown: str) -> None:
    assert escape(text) == shown


@given(text=st.text(), width=st.integers(20, 60))
def test_any_text_stays_in_its_table(text: str, width: int) -> None:
    lines = table(["name", "text"], [[text[:5], text]], width=width).split("\n")
    assert all(escape(line) == line for line in lines)


def test_json_is_one_document_in_ascii(capsys: pytest.CaptureFixture[str]) -> None:
    echo_json({"a": ["é", None], "b": "\x1b"})
    out = capsys.readouterr().out
    assert out.isascii()
    assert json.loads(out) == {"a": ["é", None], "b": "\x1b"}


def test_all_but_results_goes_to_stderr_and_quiet_hides_notes(capsys: pytest.CaptureFixture[str]) -> None:
    note("by the way")
    warn("take care")
    assert capsys.readouterr() == ("", "by the way\nwarning: take care\n")
    output.quiet = True
    note("by the way")
    warn("take care")
    assert capsys.readouterr() == ("", "warning: take care\n")


@pytest.mark.parametrize(("name", "value"), [("NO_COLOR", "1"), ("NO_COLOR", "please"), ("TERM", "dumb")])
def test_colour_obeys_the_environment(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.delenv("NO_COLOR")
    monkeypatch.setenv("TERM", "xterm")
    assert wants_colour(Terminal())
    assert not wants_colour(io.StringIO())
    monkeypatch.setenv(name, value)
    assert not wants_colour(Terminal())


def test_no_color_is_a_flag_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR")
    monkeypatch.setenv("TERM", "xterm")
    output.no_color = True
    assert not wants_colour(Terminal())
