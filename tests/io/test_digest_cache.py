"""Digests of files: right after every change, and read once where nothing changed."""

from __future__ import annotations

import json
import os
import time
from hashlib import sha256
from pathlib import Path

import pytest

from micl_cli.io import digest_cache
from micl_cli.io.digest_cache import FileDigests

CONTENT = b"weights" * 300_000


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """A large file that was changed some time ago."""
    path = tmp_path / "weights"
    path.write_bytes(CONTENT)
    time.sleep(0.15)
    return path


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files that are read completely."""
    read: list[Path] = []
    original = digest_cache.file_sha256
    monkeypatch.setattr(digest_cache, "file_sha256", lambda path: read.append(path) or original(path))
    return read


def test_a_large_file_is_read_once_by_all_processes(weights: Path, tmp_path: Path, reads: list[Path]) -> None:
    for _ in range(3):
        of_process = FileDigests(tmp_path / "digests")
        assert of_process.sha256(weights) == of_process.sha256(weights) == sha256(CONTENT).hexdigest()
    assert reads == [weights]


@pytest.mark.parametrize("keep_time", [False, True], ids=["other time", "same time of modification"])
def test_a_change_is_noticed(weights: Path, tmp_path: Path, keep_time: bool) -> None:
    known, before = FileDigests(tmp_path / "digests"), weights.stat()
    known.sha256(weights)
    weights.write_bytes(CONTENT[:-1] + b"!")
    if keep_time:
        os.utime(weights, ns=(before.st_atime_ns, before.st_mtime_ns))
    expected = sha256(CONTENT[:-1] + b"!").hexdigest()
    assert known.sha256(weights) == FileDigests(tmp_path / "digests").sha256(weights) == expected


def test_a_file_that_just_changed_is_read_again(tmp_path: Path, reads: list[Path]) -> None:
    path, known = tmp_path / "fresh", FileDigests(tmp_path / "digests")
    path.write_bytes(CONTENT)
    for _ in range(2):
        known.sha256(path)
    assert len(reads) == 2


@pytest.mark.parametrize("damage", ["", "[]", "{}", '{"sha256": 3}', "\x00"])
def test_a_damaged_entry_is_replaced(weights: Path, tmp_path: Path, damage: str) -> None:
    folder = tmp_path / "digests"
    FileDigests(folder).sha256(weights)
    (entry,) = folder.iterdir()
    kept = json.loads(entry.read_text())
    for text in (damage, json.dumps({**kept, "digest": "0" * 64})):
        entry.write_text(text)
        assert FileDigests(folder).sha256(weights) == sha256(CONTENT).hexdigest()
        assert json.loads(entry.read_text()) == kept


def test_nothing_is_kept_where_nothing_can_be_written(weights: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "no home" / "digests", tmp_path / "file"):
        assert FileDigests(folder).sha256(weights) == sha256(CONTENT).hexdigest()
    assert not (tmp_path / "no home").exists()


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        FileDigests(tmp_path).sha256(tmp_path / "none")
