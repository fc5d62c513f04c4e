"""Examples that are parsed from the manifest on access."""

from __future__ import annotations

from pathlib import Path

import pytest

from micl_cli.api import Media, Row
from micl_cli.data.example_store import ManifestLines, StoredExamples, numbers_by_split, stored_row
from micl_cli.data.manifest import row_text, write_manifest

ROWS = [
    Row("1", "train", (Media("image", Path("a.png")), "what?"), ("x", "y"), meta={"category": "c"}),
    Row("2", "test", ("first", Media("image", Path("a.png")), Media("image", Path("ü b.png"))), ("z",), ("z", "w")),
    Row("3", "train", ("text alone",), ("ä\u2028",)),
]


@pytest.fixture
def lines(tmp_path: Path) -> ManifestLines:
    write_manifest(tmp_path / "manifest.jsonl", ROWS)
    return ManifestLines(tmp_path / "manifest.jsonl")


def examples(lines: ManifestLines, split: str) -> StoredExamples:
    numbers = numbers_by_split([row.split for row in ROWS])[split]
    return StoredExamples(lines, numbers, "own/t", Path("/root"), {"a.png": "d1", "ü b.png": "d2"})


def test_lines_are_those_of_the_file(lines: ManifestLines) -> None:
    assert list(lines) == [row_text(row) for row in ROWS] and lines.complete


def test_a_line_without_an_end_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "m").write_text('{"a": 1}\n{"b"')
    lines = ManifestLines(tmp_path / "m")
    assert len(lines) == 1 and not lines.complete
    (tmp_path / "m").write_text("")
    assert not len(ManifestLines(tmp_path / "m"))


def test_examples_are_those_of_their_split_in_order(lines: ManifestLines) -> None:
    train = examples(lines, "train")
    assert [example.id for example in train] == ["1", "3"] == [train[0].id, train[-1].id]
    assert (train[0].task, train[0].references, train[0].meta) == ("own/t", ("x", "y"), {"category": "c"})
    assert examples(lines, "test")[0].media[1] == Media("image", Path("/root/ü b.png"), "d2")
    assert train[:1] == [train[0]] and train == list(train) and train != examples(lines, "test")
    with pytest.raises(IndexError):
        train[2]


def test_they_stay_those_of_the_file_that_was_opened(lines: ManifestLines, tmp_path: Path) -> None:
    train = examples(lines, "train")
    (tmp_path / "new").write_text("{}\n")
    (tmp_path / "new").replace(lines.path)
    assert train[0].id == "1"


def test_a_row_is_read_as_it_was_written() -> None:
    assert [stored_row(row_text(row)) for row in ROWS] == ROWS
