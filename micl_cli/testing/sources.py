"""What every task source keeps: rows that a task can be prepared from, the same each time."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any, ClassVar

from micl_cli.api.task import SPLITS, Row, TaskSource


class TaskSourceContract:
    """Subclass it, name the source, and pytest runs these tests on it."""

    source: ClassVar[type[TaskSource]]
    options: ClassVar[Mapping[str, Any]] = {}

    def rows(self, folder: Path) -> list[Row]:
        """All rows of a fresh source that writes below ``folder``."""
        folder.mkdir(parents=True, exist_ok=True)
        return list(self.source(**self.options).rows(folder))

    def test_says_what_it_is(self) -> None:
        for fact in ("benchmark", "name", "modality", "kind", "metric"):
            assert getattr(self.source, fact), f"{fact} is not given"
        assert "/" not in self.source.benchmark + self.source.name

    def test_rows_are_whole(self, tmp_path: Path) -> None:
        rows = self.rows(tmp_path)
        assert len({row.id for row in rows}) == len(rows), "an id stands twice"
        assert {row.split for row in rows} <= set(SPLITS)
        assert {"train", "test"} <= {row.split for row in rows}
        for row in rows:
            assert row.prompt.strip(), f"row {row.id} has no prompt"
            assert row.references, f"row {row.id} has no reference"
            assert all(text.strip() for text in row.references)

    def test_media_are_files_below_the_folder(self, tmp_path: Path) -> None:
        folder = tmp_path.resolve()
        for row in self.rows(folder):
            path = (folder / row.media).resolve()
            assert path.is_relative_to(folder), f"{row.media} leaves the folder"
            assert path.is_file(), f"{row.media} was not written"

    def test_no_train_medium_is_tested(self, tmp_path: Path) -> None:
        digests: dict[str, set[str]] = {split: set() for split in SPLITS}
        for row in self.rows(tmp_path):
            digests[row.split].add(_digest(tmp_path / row.media))
        assert not digests["train"] & digests["test"], "media of the train split stand in the test split"

    def test_the_same_each_time(self, tmp_path: Path) -> None:
        one, two = tmp_path / "one", tmp_path / "two"
        first, second = self.rows(one), self.rows(two)
        assert first == second
        differing = [row.media for row in first if _digest(one / row.media) != _digest(two / row.media)]
        assert not differing, f"written differently the second time: {differing[:3]}"


def _digest(path: Path) -> str:
    return sha256(path.read_bytes()).hexdigest()
