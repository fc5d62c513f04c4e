"""The code of a run: a digest of the sources that decide scores, and the commit of the checkout."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import micl_cli
from micl_cli.registry import Registry
from micl_cli.session import code
from micl_cli.session.code import code_digest, commit

PLUGIN = """
from micl_cli.api import hookimpl

@hookimpl
def micl_register_strategies(register):
    register("mine", "mine_methods:Mine", "a strategy")

@hookimpl
def micl_register_listeners(register):
    register("mine", "mine_listeners:Mine", "a listener")
"""
FILES = {
    "mine_plugin.py": PLUGIN,
    "mine_methods/__init__.py": "class Mine: ...\n",
    "mine_methods/rates.toml": "rate = 0.5\n",
    "mine_listeners.py": "class Mine: ...\n",
    "mine_helpers.py": "half = 0.5\n",
}
needs_git = pytest.mark.skipif(not shutil.which("git"), reason="git is not installed")


@pytest.fixture
def site(install: Any) -> Path:
    """A folder with an installed distribution of a strategy, a listener and a module of helpers."""
    entry_points = "[micl]\nmine = mine_plugin\n"
    folder: Path = install("micl-mine", entry_points=entry_points, files=FILES)
    record = "".join(f"{name},,\n" for name in (*FILES, "micl_mine-1.0.dist-info/METADATA"))
    (folder / "micl_mine-1.0.dist-info" / "RECORD").write_text(record)
    return folder


def digest(*names: tuple[str, str]) -> str:
    registry = Registry.discover()
    return code_digest([registry.find(*name) for name in names], registry)


@pytest.mark.parametrize("name", ["mine_methods/__init__.py", "mine_methods/rates.toml", "mine_helpers.py"])
def test_a_change_of_a_plugin_that_is_used_is_another_code(site: Path, name: str) -> None:
    used, unused = digest(("strategies", "mine")), digest(("strategies", "finetune"))
    assert len(used) == 12 and set(used) <= set("0123456789abcdef")
    assert used != unused
    with (site / name).open("a") as file:
        file.write("# another line\n")
    assert digest(("strategies", "mine")) != used
    assert digest(("strategies", "finetune")) == unused


def test_what_cannot_change_a_score_is_not_part_of_the_code(site: Path) -> None:
    before = digest(("strategies", "mine"))
    (site / "mine_listeners.py").write_text("class Mine: 'other'\n")
    (site / "mine_methods" / "__pycache__").mkdir()
    (site / "mine_methods" / "__pycache__" / "x.cpython-311.pyc").write_bytes(b"x")
    (site / "mine_methods" / "old.pyc").write_bytes(b"x")
    assert digest(("strategies", "mine")) == before


def test_of_the_core_what_is_below_the_sessions_is_covered() -> None:
    names = {name for name, _ in code._files("micl_cli")}
    assert {"micl_cli/training/loop.py", "micl_cli/api/losses.py", "micl_cli/plan.py"} <= names
    assert not [name for name in names if name.startswith(("micl_cli/cli/", "micl_cli/report/", "micl_cli/session/"))]
    packages = code._packages("micl-cli", Registry.discover())
    assert {"micl_strategies", "micl_backbones", "micl_metrics"} <= packages
    assert "micl_readers" not in packages, "it makes data only"


def test_sources_that_cannot_be_read_have_no_digest(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path) -> str:
        raise PermissionError(path)

    monkeypatch.setattr(code, "file_sha256", refuse)
    assert digest(("strategies", "mine")) == ""


Repository = Callable[..., Path]


@pytest.fixture
def git(tmp_path: Path) -> Callable[..., str]:
    def run(*words: str) -> str:
        who = ("-c", "user.name=Ada", "-c", "user.email=ada@example.org")
        done = subprocess.run(
            ["git", *who, *words], cwd=tmp_path / "project", capture_output=True, check=True, text=True
        )
        return done.stdout.strip()

    return run


@pytest.fixture
def checkout(tmp_path: Path, git: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository that micl seems to be imported from."""
    folder = tmp_path / "project" / "micl_cli"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text("x = 1\n")
    (folder.parent / ".gitignore").write_text("ignored\n")
    git("init", "-q")
    git("add", ".")
    git("commit", "-q", "-m", "Begin")
    monkeypatch.setattr(micl_cli, "__file__", str(folder / "__init__.py"))
    return folder


@needs_git
def test_the_commit_of_a_clean_checkout(checkout: Path, git: Callable[..., str], monkeypatch: Any) -> None:
    (checkout.parent / "ignored").write_text("")
    monkeypatch.setenv("GIT_DIR", "/nowhere")
    expected = subprocess.run(
        ["git", "rev-parse", "HEAD"],
        cwd=checkout,
        env={name: value for name, value in os.environ.items() if name != "GIT_DIR"},
        capture_output=True,
        text=True,
    ).stdout
    assert commit() == expected[:12] != ""


@needs_git
@pytest.mark.parametrize("name", ["__init__.py", "new.py"])
def test_a_checkout_with_changes_is_marked(checkout: Path, name: str) -> None:
    clean = commit()
    (checkout / name).write_text("x = 2\n")
    assert commit() == f"{clean}+changes"


@needs_git
def test_a_report_in_a_checkout_is_no_change_of_the_code(checkout: Path) -> None:
    clean = commit()
    (checkout.parent / "report.html").write_text("a report")
    assert commit() == clean


@needs_git
def test_a_checkout_that_is_a_linked_worktree_has_its_own_commit(
    checkout: Path, git: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    git("worktree", "add", "-q", "../other")
    other = checkout.parent.parent / "other" / "micl_cli"
    monkeypatch.setattr(micl_cli, "__file__", str(other / "__init__.py"))
    assert commit() == git("rev-parse", "HEAD")[:12]


@needs_git
def test_an_environment_within_another_project_has_no_commit(
    checkout: Path, git: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = checkout.parent / "ignored" / "micl_cli"
    installed.mkdir(parents=True)
    (installed / "__init__.py").write_text("")
    monkeypatch.setattr(micl_cli, "__file__", str(installed / "__init__.py"))
    assert commit() == ""


def test_outside_a_checkout_there_is_no_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(micl_cli, "__file__", str(tmp_path / "micl_cli" / "__init__.py"))
    assert commit() == ""


@pytest.mark.parametrize("script", [None, "exit 3", "sleep 60"])
def test_without_a_working_git_there_is_no_commit(
    script: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "bin"
    folder.mkdir()
    if script:
        (folder / "git").write_text(f"#!/bin/sh\n{script}\n")
        (folder / "git").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}/bin" if script == "sleep 60" else str(folder))
    monkeypatch.setattr(code, "_GIT_SECONDS", 0.5)
    assert commit() == ""
