"""Where an export may be written."""

from __future__ import annotations

from pathlib import Path

import pytest

from micl_cli.errors import UsageError
from micl_cli.io.documents import write_document
from micl_cli.session.export_folder import CARD, DOCUMENT, check_target


def export(folder: Path) -> None:
    (folder / "expert1").mkdir(parents=True)
    for name in (CARD, "expert1/adapter_config.json"):
        (folder / name).write_text("ours")
    write_document(folder / DOCUMENT, {"files": {"expert1/adapter_config.json": "0" * 64}})


def test_a_new_or_empty_folder_is_taken(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for name in ("empty", "new", "new/inner"):
        assert check_target(Path(name), force=False) == tmp_path / name


def test_another_export_is_replaced_only_by_force(tmp_path: Path) -> None:
    export(tmp_path / "out")
    with pytest.raises(UsageError, match="out holds an export already") as caught:
        check_target(Path("out"), force=False)
    assert "--force" in caught.value.hint
    assert check_target(Path("out"), force=True) == tmp_path / "out"


@pytest.mark.parametrize("name", ["notes.md", "expert1/mine.txt", ".git/config"])
def test_files_that_were_added_to_an_export_are_not_removed_with_it(name: str, tmp_path: Path) -> None:
    export(tmp_path / "out")
    (tmp_path / "out" / name).parent.mkdir(exist_ok=True)
    (tmp_path / "out" / name).write_text("mine")
    with pytest.raises(UsageError, match=f"another file besides an export: {name}"):
        check_target(Path("out"), force=True)


def test_a_file_that_is_only_called_like_that_of_an_export_makes_none(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    for content in ("{}", "mine", '{"files": 3}'):
        (tmp_path / "out" / DOCUMENT).write_text(content)
        with pytest.raises(UsageError, match=f"besides an export: {DOCUMENT}"):
            check_target(Path("out"), force=True)


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize("name", [".", "..", "file", "other", "link"])
def test_no_other_file_is_ever_replaced(name: str, force: bool, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.tex").write_text("mine")
    (tmp_path / "link").symlink_to("other")
    with pytest.raises(UsageError):
        check_target(Path(name), force=force)


def test_a_link_leads_to_its_folder(tmp_path: Path) -> None:
    (tmp_path / "place").mkdir()
    (tmp_path / "link").symlink_to("place")
    assert check_target(Path("link"), force=False) == tmp_path / "place"
