from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from micl_cli.api import PlanError
from micl_tasks.open import packages as module
from micl_tasks.open.packages import FOLDER_VARIABLE, fetch_package, packages

Apt = list[tuple[str, ...]]


def silent(name: str, done: int, total: int) -> None:
    """Show nothing."""


@pytest.fixture
def apt(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Let apt-get answer with ``out`` and ``err``; returns the commands that were given to it."""

    def answer(out: str = "", err: str = "", code: int = 0) -> Apt:
        asked: Apt = []

        def run(words: Any) -> subprocess.CompletedProcess[str]:
            asked.append(tuple(words))
            return subprocess.CompletedProcess(words, code, out, err)

        monkeypatch.setattr(module, "_apt", run)
        return asked

    return answer


def test_every_package_is_pinned_and_has_a_licence() -> None:
    assert set(packages()) == {"pictures", "instruments", "animations"}
    for package in packages().values():
        assert len(package.sha256) == 64
        assert package.bytes > 1_000_000
        assert package.licence
        assert any(path.endswith("copyright") for path in package.take)


def test_a_package_is_downloaded_once_from_where_apt_would(
    make_deb: Any, pinned: Any, apt: Any, tmp_path: Path
) -> None:
    package = pinned(make_deb({"usr/a": b"1"}))
    asked = apt(f"'{(tmp_path / 'fake_1_all.deb').as_uri()}' fake_1_all.deb {package.bytes} SHA256:{package.sha256}\n")
    told: list[tuple[str, int, int]] = []
    folder = fetch_package(package, tmp_path / "home", lambda *words: told.append(words))
    assert folder == tmp_path / "home" / "fake-1.0-2"
    assert (folder / "usr/a").read_bytes() == b"1"
    assert asked == [("--print-uris", "download", "fake=1:1.0-2")]
    assert told[-1] == ("fake", package.bytes, package.bytes)
    assert fetch_package(package, tmp_path / "home", silent) == folder
    assert len(asked) == 1
    assert {path.name for path in (tmp_path / "home").iterdir()} <= {"fake-1.0-2", ".lock"}


def test_another_package_than_pinned_is_not_unpacked(make_deb: Any, pinned: Any, apt: Any, tmp_path: Path) -> None:
    package = pinned(make_deb({"usr/a": b"1"}))
    other = make_deb({"usr/a": b"2"}, name="other.deb")
    apt(f"'{other.as_uri()}' other.deb {package.bytes}\n")
    with pytest.raises(PlanError, match=r"does not match its pinned digest|more than the expected|bytes received"):
        fetch_package(package, tmp_path / "home", silent)
    assert not (tmp_path / "home" / "fake-1.0-2").exists()


@pytest.mark.parametrize(
    ("out", "err", "message"),
    [
        (
            "",
            "E: Unable to locate package fake",
            "apt cannot find the package fake=1:1.0-2: Unable to locate package fake",
        ),
        ("", "E: Version '1:1.0-2' for 'fake' was not found", "was not found"),
        ("", "", "no answer"),
        ("'cdrom:[Debian]/fake.deb' fake.deb 12 SHA256:00", "", "by the method cdrom"),
    ],
)
def test_what_apt_cannot_give_says_the_way_out(
    out: str, err: str, message: str, make_deb: Any, pinned: Any, apt: Any, tmp_path: Path
) -> None:
    apt(out, err, 0 if out else 100)
    package = pinned(make_deb({"usr/a": b"1"}))
    with pytest.raises(PlanError, match=message) as caught:
        fetch_package(package, tmp_path / "home", silent)
    assert caught.value.exit_code == 4
    assert "`apt-get update`" in caught.value.hint
    assert f"{FOLDER_VARIABLE}=DIR" in caught.value.hint
    assert package.sha256 in caught.value.hint


def test_a_system_without_apt_is_told_what_is_needed(
    make_deb: Any, pinned: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(PlanError, match="apt-get is not installed") as caught:
        fetch_package(pinned(make_deb({"usr/a": b"1"})), tmp_path / "home", silent)
    assert FOLDER_VARIABLE in caught.value.hint


def test_a_folder_gives_a_package_under_any_name(
    make_deb: Any, pinned: Any, apt: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deb = make_deb({"usr/a": b"1"})
    package, asked = pinned(deb), apt()
    (tmp_path / "mine").mkdir()
    deb.rename(tmp_path / "mine" / "renamed.deb")
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path / "mine"))
    folder = fetch_package(package, tmp_path / "home", silent)
    assert (folder / "usr/a").read_bytes() == b"1"
    assert (tmp_path / "mine" / "renamed.deb").exists()
    assert not asked


def test_a_folder_with_another_build_is_refused(
    make_deb: Any, pinned: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = pinned(make_deb({"usr/a": b"1"}))
    make_deb({"usr/a": b"2"})
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
    with pytest.raises(PlanError, match=r"has no fake 1:1.0-2; fake_1_all.deb has another sha256"):
        fetch_package(package, tmp_path / "home", silent)
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path / "none"))
    with pytest.raises(PlanError, match="which is not a folder"):
        fetch_package(package, tmp_path / "home", silent)


def test_a_package_without_the_expected_files_leaves_nothing(
    make_deb: Any, pinned: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = pinned(make_deb({"usr/a": b"1"}), take=("usr/b",))
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
    with pytest.raises(PlanError, match="does not contain usr/b"):
        fetch_package(package, tmp_path / "home", silent)
    assert {path.name for path in (tmp_path / "home").iterdir()} <= {".lock"}
