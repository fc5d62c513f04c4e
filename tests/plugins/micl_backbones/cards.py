"""Model cards as a reader uses them: their code, run in a fresh process."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path


def code_blocks(folder: Path, language: str = "python") -> list[str]:
    """Return the code blocks of a model card."""
    text = (folder / "README.md").read_text(encoding="utf-8")
    return re.findall(rf"```{language}\n(.*?)\n```", text, re.DOTALL)


def run_python(code: str, folder: Path) -> str:
    """Run code in a fresh process, in a folder, and return what it prints."""
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()
