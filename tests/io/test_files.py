from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import pytest

from micl_cli.errors import CheckpointError
from micl_cli.io import files
from micl_cli.io.files import atomic_folder, write_json


def test_a_folder_appears_whole(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "er"
    with atomic_folder(target) as fresh:
        (fresh / "a").mkdir()
        (fresh / "a" / "b.txt").write_text("b")
        assert not target.exists()
    assert (target / "a" / "b.txt").read_text() == "b"
    assert [path.name for path in target.parent.iterdir()] == ["er"]


def test_a_folder_takes_the_place_of_a_former_one(tmp_path: Path) -> None:
    for text in ("old", "new"):
        with atomic_folder(tmp_path / "x") as fresh:
            (fresh / f"{text}.txt").write_text(text)
    assert [path.name for path in (tmp_path / "x").iterdir()] == ["new.txt"]


@pytest.mark.parametrize("error", [ValueError("no"), KeyboardInterrupt(), OSError(errno.ENOSPC, "full")])
def test_what_breaks_off_leaves_the_former_one_and_no_trace(tmp_path: Path, error: BaseException) -> None:
    with atomic_folder(tmp_path / "x") as fresh:
        (fresh / "old.txt").write_text("old")
    shown = CheckpointError if isinstance(error, OSError) else type(error)
    with pytest.raises(shown), atomic_folder(tmp_path / "x") as fresh:
        (fresh / "new.txt").write_text("new")
        raise error
    assert [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")] == ["x", "x/old.txt"]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EDQUOT])
def test_a_disk_that_refuses_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    write_json(tmp_path / "x.json", {"old": 1})

    def failing(path: Path) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(files, "flush", failing)
    with pytest.raises(CheckpointError) as caught:
        write_json(tmp_path / "x.json", {"new": 1})
    assert caught.value.message == f"cannot write {tmp_path / 'x.json'}: {os.strerror(number)}"
    assert "Free disk space" in caught.value.hint
    assert json.loads((tmp_path / "x.json").read_text()) == {"old": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["x.json"]


def test_json_is_written_as_text_in_any_script(tmp_path: Path) -> None:
    write_json(tmp_path / "a" / "x.json", {"text": "…ß漢"})
    assert "…ß漢" in (tmp_path / "a" / "x.json").read_text(encoding="utf-8")
