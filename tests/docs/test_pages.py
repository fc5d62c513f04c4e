"""Pages of the documentation: generated ones are what the code says, and what they name exists."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import micl_cli
from micl_cli import api

ROOT = Path(__file__).parents[2]


def test_the_page_of_plugins_is_what_the_code_says() -> None:
    done = subprocess.run([sys.executable, ROOT / "docs" / "generate.py", "--check"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_every_name_of_the_api_is_on_the_page() -> None:
    text = (ROOT / "docs" / "plugins.md").read_text()
    missing = [name for name in api.__all__ if f"`{name}`" not in text]
    assert not missing


@pytest.mark.parametrize(
    "page", ["docs/architecture.md", "docs/scoring.md", "docs/run-files.md", "CONTRIBUTING.md", "README.md"]
)
def test_files_that_a_page_names_exist(page: str) -> None:
    text = (ROOT / page).read_text()
    named = set(re.findall(r"`((?:[\w-]+/)+[\w.-]+\.(?:py|md|toml|json))`", text))
    roots = (ROOT, Path(micl_cli.__file__).parent, ROOT / "plugins", ROOT / "plugins" / "micl_backbones")
    missing = [name for name in sorted(named) if not any((root / name).exists() for root in roots)]
    assert not missing
