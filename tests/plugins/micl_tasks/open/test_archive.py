from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from micl_cli.api import PlanError
from micl_tasks.open.archive import unpack


def test_only_the_chosen_files_are_written(make_deb: Any, tmp_path: Path) -> None:
    package = make_deb({"usr/share/a/1.png": b"1", "usr/share/b/2.png": b"2", "usr/share/a/deep/3": b"odd"})
    unpack(package, ["usr/share/a/"], tmp_path / "to")
    files = {str(path.relative_to(tmp_path / "to")): path.read_bytes() for path in (tmp_path / "to").rglob("*.*")}
    assert files == {"usr/share/a/1.png": b"1"}
    assert (tmp_path / "to/usr/share/a/deep/3").read_bytes() == b"odd"


def test_links_are_left_out(make_deb: Any, tmp_path: Path) -> None:
    package = make_deb({"usr/a": b"1"}, links={"usr/link": "/etc/passwd"})
    unpack(package, ["usr/"], tmp_path / "to")
    assert [path.name for path in (tmp_path / "to/usr").iterdir()] == ["a"]


def test_a_path_out_of_the_folder_is_refused(make_deb: Any, tmp_path: Path) -> None:
    with pytest.raises(PlanError, match="leads out of its folder"):
        unpack(make_deb({"usr/../../evil": b"1"}), ["usr/"], tmp_path / "to")
    assert not (tmp_path / "evil").exists()


def test_what_the_package_lacks_is_named(make_deb: Any, tmp_path: Path) -> None:
    with pytest.raises(PlanError, match=r"does not contain usr/font\.ttf"):
        unpack(make_deb({"usr/a": b"1"}), ["usr/a", "usr/font.ttf"], tmp_path / "to")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is not a Debian package"),
        (b"PK\3\4 a zip file, perhaps", "is not a Debian package"),
        (b"!<arch>\n", "has no data.tar"),
        (b"!<arch>\n" + b"data.tar.xz     " + b"?" * 44, "its directory cannot be read"),
        (b"!<arch>\n" + f"{'data.tar.xz':<48}{9:<10}`\n".encode() + b"not an xz", "is damaged"),
        (b"!<arch>\n" + f"{'data.tar.zst':<48}{9:<10}`\n".encode() + b"123456789", "compressed by zst"),
    ],
)
def test_what_is_no_package_is_refused(content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "x.deb").write_bytes(content)
    with pytest.raises(PlanError, match=message) as caught:
        unpack(tmp_path / "x.deb", ["usr/"], tmp_path / "to")
    assert "fetch it again" in caught.value.hint


@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_a_package_that_was_cut_off_is_damaged(make_deb: Any, share: float, tmp_path: Path) -> None:
    package = make_deb({f"usr/{i}": bytes(range(256)) * i for i in range(20)})
    package.write_bytes(package.read_bytes()[: int(package.stat().st_size * share)])
    with pytest.raises(PlanError):
        unpack(package, ["usr/"], tmp_path / "to")
