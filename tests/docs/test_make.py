"""What `make demo` says to do next works as it is printed."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
STUB = '#!/bin/sh\necho "$MICL_HOME: micl $*"\n'


@pytest.mark.skipif(not shutil.which("make"), reason="make is not installed")
def test_the_commands_after_the_demo_work_as_printed(tmp_path: Path) -> None:
    checkout = tmp_path / "checkout"
    binaries = checkout / ".venv" / "bin"
    binaries.mkdir(parents=True)
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, checkout)
    (checkout / ".venv" / ".installed").touch()
    (binaries / "micl").write_text(STUB)
    (binaries / "micl").chmod(0o755)
    (binaries / "activate").write_text(f'PATH="{binaries}:$PATH"\n')
    env = {"PATH": "/usr/bin:/bin"}
    done = subprocess.run(["make", "demo"], cwd=checkout, env=env, capture_output=True, text=True, check=True)
    _, _, following = done.stdout.partition("Next, in this shell:\n")
    home = checkout / ".micl"
    assert f"{home}: micl report @last" in done.stdout
    again = subprocess.run(["sh", "-c", following], cwd=tmp_path, env=env, capture_output=True, text=True, check=True)
    assert again.stdout == f"{home}: micl runs\n"
