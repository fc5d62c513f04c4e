"""Questions out of captions, by the backbone or by another language model."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import micl_backbones
from micl_cli.api import PlanError
from micl_cli.testing import ToyBackbone
from micl_strategies.writer import read_lines, split_question, write_questions


@pytest.mark.parametrize(
    ("text", "pair"),
    [
        ("What is red? the box", ("What is red?", "the box")),
        ('  What is red?\n "box".\nAnd more', ("What is red?", "box")),
        ("A red box.", None),
        ("What is red?", None),
        ("? box", None),
        ("", None),
    ],
)
def test_a_question_and_its_answer_are_split(text: str, pair: tuple[str, str] | None) -> None:
    assert split_question(text) == pair


@given(st.text())
def test_whatever_is_written_gives_a_whole_pair_or_nothing(text: str) -> None:
    pair = split_question(text)
    assert pair is None or (pair[0].endswith("?") and len(pair[0]) > 1 and pair[1].strip() and "\n" not in pair[1])


def test_more_than_fit_at_once_keep_their_order() -> None:
    captions = [f"number {i}" for i in range(69)]
    batches = list(write_questions(ToyBackbone(), captions, 32))
    assert [len(batch) for batch in batches] == [32, 32, 5]
    pairs = [pair for batch in batches for pair in batch]
    assert [pair and pair[1] for pair in pairs] == [caption.split()[1] for caption in captions]


def test_another_language_model_may_write_them() -> None:
    folder = Path(micl_backbones.__file__).parent / "presets" / "tiny" / "language"
    captions = ["a red box is left of a ring", "short"]
    pairs = [pair for batch in write_questions(ToyBackbone(), captions, 1, writer=str(folder)) for pair in batch]
    assert len(pairs) == 2
    assert all(pair is None or pair[0].endswith("?") for pair in pairs)


def test_a_writer_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match="cannot be loaded") as refused:
        list(write_questions(ToyBackbone(), ["a box"], 8, writer=str(tmp_path / "absent")))
    assert "-o writer" in refused.value.hint


def test_texts_are_read_line_by_line(tmp_path: Path) -> None:
    path = tmp_path / "texts.jsonl"
    path.write_text('{"text": "one\u2028line"}\r\n\nplain text\n', encoding="utf-8-sig", newline="")
    assert read_lines(path) == ["one\u2028line", "plain text"]


def test_unusable_files_of_texts_are_named(tmp_path: Path) -> None:
    path = tmp_path / "texts.jsonl"
    for content, message in (
        (b"\xff\xfea\0", "UTF-16"),
        (b'{"a": 1}', 'the key "text"'),
        (b"{" * 9, "not a JSON object"),
    ):
        path.write_bytes(content)
        with pytest.raises(PlanError, match=message):
            read_lines(path)
    with pytest.raises(PlanError, match=r"cannot read .*absent"):
        read_lines(tmp_path / "absent")
