"""Python processes that micl starts, and ``python -m micl_cli``, import nothing from the current folder."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from micl_cli.io.processes import RUN_MODULE, module_command

NAMES = ("queue", "signal", "torch", "click", "json", "pip", "micl_backbones", "sqlalchemy", "typing", "pathlib")


@pytest.fixture(autouse=True)
def traps(tmp_path: Path) -> None:
    """Put modules into the current folder that leave a trace if they are imported."""
    for name in NAMES:
        (tmp_path / f"{name}.py").write_text(f"open({str(tmp_path / 'imported')!r}, 'a').write('{name} ')\n")


@pytest.mark.parametrize("command", [module_command("pip"), [sys.executable, "-c", RUN_MODULE, "pip"]])
def test_module_is_run_without_the_current_folder(command: list[str], tmp_path: Path) -> None:
    done = subprocess.run([*command, "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("pip ")
    assert not (tmp_path / "imported").exists()


def test_program_is_run_without_the_current_folder(tmp_path: Path) -> None:
    info = tmp_path / "micl_trap-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: micl-trap\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[micl]\ntrap = queue\n")
    command = [sys.executable, "-m", "micl_cli", "plugins"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "moincl" in done.stdout
    assert "micl-trap" not in done.stdout
    assert not (tmp_path / "imported").exists()
