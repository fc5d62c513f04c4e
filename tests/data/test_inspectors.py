"""Inspection of media by several processes."""

from __future__ import annotations

import os
import textwrap
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from micl_cli.api import Media, Row
from micl_cli.data import inspection, inspectors
from micl_cli.data.inspection import Inspection
from micl_cli.data.journal import journal, read_journal
from micl_cli.data.record import FileRecord, record_file

MODULE = """
    import os
    from micl_cli.api import MediaError, Modality

    class Letters(Modality):
        name = "letter"

        def read(self, path):
            return path.read_text()

        def inspect(self, path):
            text = self.read(path)
            if text == "bad":
                raise MediaError(f"{path}: cannot be read as a letter")
            if text == "kill":
                os.kill(os.getpid(), 9)
            with open(os.environ["OPENED"], "a") as file:
                file.write(path.name + "\\n")
            return {"letters": len(text)}
"""


@pytest.fixture
def letters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A modality that other processes can import, and that remembers what it opened."""
    folder = tmp_path / "modules"
    folder.mkdir()
    (folder / "letters_of_many.py").write_text(textwrap.dedent(MODULE))
    monkeypatch.syspath_prepend(folder)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")]))
    monkeypatch.setenv("OPENED", str(tmp_path / "opened"))
    for module in (inspection, inspectors):
        monkeypatch.setattr(module, "FEW", 2)
    return import_module("letters_of_many").Letters()


def rows(root: Path, **contents: str) -> list[Row]:
    root.mkdir(exist_ok=True)
    for name, text in contents.items():
        (root / name).write_text(text)
    return [Row(name, "train", (Media("letter", Path(name)), "q"), ("a",)) for name in [*contents, "missing"]]


def inspected(root: Path, every: list[Row], letters: Any, jobs: int, journal_path: Path | None = None) -> Inspection:
    result = Inspection(root.resolve(), {"letter": letters})
    result.inspect_all(every, jobs=jobs, journal_path=journal_path)
    return result


def test_several_processes_give_the_result_of_one(tmp_path: Path, letters: Any) -> None:
    root = tmp_path / "media"
    every = rows(root, **{f"m{n}": "bad" if n % 7 == 3 else "x" * n for n in range(30)})
    one, three = (inspected(root, every, letters, jobs) for jobs in (1, 3))
    assert one.rows == three.rows and list(one.records.items()) == list(three.records.items())
    assert one.refused == three.refused and len(one.refused) == 5


def test_a_file_that_ends_its_reader_is_a_fault(tmp_path: Path, letters: Any) -> None:
    root = tmp_path / "media"
    every = rows(root, a="x", b="kill", c="y", d="z")
    result = inspected(root, every, letters, jobs=2)
    assert [row.id for row in result.rows] == ["a", "c", "d"]
    assert "ended by SIGKILL" in result.refused[0].reason


def test_an_interrupted_inspection_goes_on(tmp_path: Path, letters: Any) -> None:
    root, path = tmp_path / "media", tmp_path / "journal"
    every = rows(root, **{f"m{n}": "x" for n in range(10)})
    with pytest.raises(KeyboardInterrupt), journal(path, root.resolve(), append=False) as note:
        for name in ("m0", "m1", "m2"):
            note("letter", name, record_file(root / name, {"letters": 1}))
        raise KeyboardInterrupt
    (root / "m1").write_text("changed")
    with path.open("a") as file:
        file.write("half a li")
    result = inspected(root, every, letters, jobs=2, journal_path=path)
    opened = (tmp_path / "opened").read_text().split()
    assert sorted(opened) == ["m1", *(f"m{n}" for n in range(3, 10))]
    assert len(result.rows) == 10 and not path.exists()


def test_a_journal_of_another_folder_is_not_used(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    with pytest.raises(KeyboardInterrupt), journal(path, Path("/a"), append=False) as note:
        note("letter", "m", FileRecord(1, 2, "0" * 64, {"letters": 1}))
        raise KeyboardInterrupt
    assert read_journal(path, Path("/b")) is None
    assert read_journal(path, Path("/a")) == {("letter", "m"): FileRecord(1, 2, "0" * 64, {"letters": 1})}


def test_a_damaged_line_of_a_journal_is_ignored(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    with pytest.raises(KeyboardInterrupt), journal(path, Path("/a"), append=False) as note:
        note("letter", "m", FileRecord(1, 2, "0" * 64))
        note("letter", "n", FileRecord(3, 4, "1" * 64))
        raise KeyboardInterrupt
    path.write_text(path.read_text().replace('"size": 1', '"size": 7'))
    assert read_journal(path, Path("/a")) == {("letter", "n"): FileRecord(3, 4, "1" * 64)}
