from __future__ import annotations

import os
from pathlib import Path

import pytest

from micl_cli.io.removal import listing, remove, size


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("a/one", "a/two", "b"):
        (tmp_path / "folder" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "folder" / name).write_text("12345")
    return tmp_path / "folder"


@pytest.fixture
def stuck(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no file named "two" be removed, also by the superuser."""
    unlink = os.unlink

    def refuse(path: object, *, dir_fd: int | None = None) -> None:
        if Path(os.fspath(path)).name == "two":  # type: ignore[call-overload]
            raise PermissionError(13, "Permission denied", str(path))
        unlink(path, dir_fd=dir_fd)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "unlink", refuse)


def test_files_folders_and_nothing_are_removed(folder: Path) -> None:
    assert size(folder) == 15
    assert remove(folder / "b") == remove(folder) == remove(folder) == []
    assert not folder.exists()


def test_what_cannot_be_removed_is_named_and_the_rest_is_removed(folder: Path, stuck: None) -> None:
    (remaining,) = remove(folder)
    assert (remaining.path.name, remaining.reason) == ("two", "Permission denied")
    assert [path.name for path in folder.rglob("*") if path.is_file()] == ["two"]
    assert listing([remaining]).startswith("1 file could not be removed: ")
    assert listing([remaining] * 5).endswith("(Permission denied) and 2 more")


def test_of_a_link_only_the_link_is_removed(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(folder)
    (folder / "a" / "inner").symlink_to(tmp_path)
    assert remove(tmp_path / "link") == []
    assert len(list(folder.rglob("*"))) == 5
    remove(folder)
    assert tmp_path.exists()
