"""Every test has its own home, its own working folder, no colour and a fixed width."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

# Read when torch is imported: idle threads of several processes would slow each other down.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest

from micl_cli.settings import prepare_process

prepare_process()


@pytest.fixture(autouse=True)
def isolated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Nothing from outside comes in, and nothing gets out of ``tmp_path``; returns the home folder."""
    for name in os.environ:
        if name.startswith(("MICL_", "_MICL_", "XDG_")):
            monkeypatch.delenv(name)
    home = tmp_path / "home"
    for name, value in {
        "MICL_HOME": str(home),
        "HOME": str(tmp_path),
        "NO_COLOR": "1",
        "COLUMNS": "100",
        "HF_HUB_OFFLINE": "1",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    return home


class Outcome(NamedTuple):
    """What a command said and how it ended."""

    code: int
    out: str
    err: str


Micl = Callable[..., Outcome]


@pytest.fixture
def micl(capsys: pytest.CaptureFixture[str]) -> Micl:
    """Run ``micl`` in this process: ``micl("plugins", "--json")``."""
    from micl_cli.cli.main import run

    def call(*words: object) -> Outcome:
        capsys.readouterr()
        code = run([str(word) for word in words])
        return Outcome(code, *capsys.readouterr())

    return call


Install = Callable[..., Path]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Put a distribution on the path as an installer does.

    ``install("micl-x", entry_points="[micl]\\nx = x_plugin\\n", files={"x_plugin.py": "..."})``
    """
    before = set(sys.modules)

    def call(
        name: str,
        *,
        entry_points: str = "",
        files: dict[str, str] | None = None,
        version: str = "1.0",
        to: str = "site",
    ) -> Path:
        site = tmp_path / to
        folder = site / f"{name.replace('-', '_')}-{version}.dist-info"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        (folder / "entry_points.txt").write_text(entry_points)
        for path, text in (files or {}).items():
            (site / path).parent.mkdir(parents=True, exist_ok=True)
            (site / path).write_text(text)
        monkeypatch.syspath_prepend(str(site))
        importlib.invalidate_caches()
        return site

    yield call
    for module in set(sys.modules) - before:
        if str(tmp_path) in str(getattr(sys.modules[module], "__file__", "")):
            del sys.modules[module]
