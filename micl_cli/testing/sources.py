"""The contract of task sources: complete and reproducible rows with media files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any, ClassVar

from micl_cli.api.task import CHOICE, SPLITS, Row, TaskSource


class TaskSourceContract:
    """Tests of a task source, for subclasses that set ``source``."""

    source: ClassVar[type[TaskSource]]
    options: ClassVar[Mapping[str, Any]] = {}

    def rows(self, folder: Path) -> list[Row]:
        """Return all rows of a new source that writes into ``folder``."""
        folder.mkdir(parents=True, exist_ok=True)
        return list(self.source(**self.options).rows(folder))

    def test_attributes_are_set(self) -> None:
        for attribute in ("benchmark", "name", "type", "metric"):
            assert getattr(self.source, attribute), f"{attribute} is not set"
        assert "/" not in self.source.benchmark + self.source.name
        assert isinstance(self.source.modalities, frozenset), "modalities is not a frozenset"

    def test_rows_are_complete(self, tmp_path: Path) -> None:
        rows = self.rows(tmp_path)
        assert len({row.id for row in rows}) == len(rows), "two rows have the same id"
        assert {row.split for row in rows} <= set(SPLITS)
        assert {"train", "test"} <= {row.split for row in rows}
        for row in rows:
            assert row.content, f"row {row.id} has no content"
            assert all(item.strip() for item in row.content if isinstance(item, str)), f"row {row.id} has an empty text"
            assert row.references, f"row {row.id} has no reference"
            assert all(text.strip() for text in row.references)

    def test_media_are_of_the_declared_modalities(self, tmp_path: Path) -> None:
        modalities = {medium.modality for row in self.rows(tmp_path) for medium in row.media}
        assert modalities == self.source.modalities

    def test_choices_contain_the_answer(self, tmp_path: Path) -> None:
        for row in self.rows(tmp_path):
            assert len(set(row.choices)) == len(row.choices), f"row {row.id} has a duplicate choice"
            if self.source.type == CHOICE:
                assert len(row.choices) > 1, f"row {row.id} has no choices"
                assert row.references[0] in row.choices, f"the answer of row {row.id} is not one of its choices"

    def test_media_are_files_below_the_folder(self, tmp_path: Path) -> None:
        folder = tmp_path.resolve()
        for path in _paths(self.rows(folder), folder):
            assert path.resolve().is_relative_to(folder), f"{path} is outside the folder"
            assert path.is_file(), f"{path} was not written"

    def test_train_and_test_share_no_media(self, tmp_path: Path) -> None:
        digests: dict[str, set[str]] = {split: set() for split in SPLITS}
        for row in self.rows(tmp_path):
            digests[row.split].update(_digest(path) for path in _paths([row], tmp_path))
        assert not digests["train"] & digests["test"], "media of the train split are in the test split"

    def test_rows_and_files_are_reproducible(self, tmp_path: Path) -> None:
        one, two = tmp_path / "one", tmp_path / "two"
        first, second = self.rows(one), self.rows(two)
        assert first == second
        pairs = zip(_paths(first, one), _paths(second, two), strict=True)
        differing = [a.name for a, b in pairs if _digest(a) != _digest(b)]
        assert not differing, f"these files are not reproducible: {differing[:3]}"


def _paths(rows: list[Row], folder: Path) -> Iterator[Path]:
    for row in rows:
        for medium in row.media:
            assert medium.path, f"a medium of row {row.id} has no path"
            yield folder / medium.path


def _digest(path: Path) -> str:
    return sha256(path.read_bytes()).hexdigest()
