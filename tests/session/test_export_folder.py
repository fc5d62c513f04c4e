"""Where an export may be written."""

from __future__ import annotations

from pathlib import Path

import pytest

from micl_cli.errors import UsageError
from micl_cli.session.export_folder import DOCUMENT, check_target


def test_a_new_or_empty_folder_is_taken(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for name in ("empty", "new", "new/inner"):
        assert check_target(Path(name), force=False) == tmp_path / name


def test_another_export_is_replaced_only_by_force(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / DOCUMENT).write_text("{}")
    with pytest.raises(UsageError, match="holds another export") as caught:
        check_target(Path("out"), force=False)
    assert "--force" in caught.value.hint
    assert check_target(Path("out"), force=True) == tmp_path / "out"


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
