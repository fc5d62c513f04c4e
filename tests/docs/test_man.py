"""Manual pages: one for each command, with all its options, that `man` can show."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest

from micl_cli.cli.main import COMMANDS, micl

ROOT = Path(__file__).parents[2]
MACROS = {"TH", "SH", "PP", "TP", "B", "BR", "nf", "fi"}


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the pages."""
    folder = tmp_path_factory.mktemp("man") / "man1"
    done = subprocess.run([sys.executable, ROOT / "docs" / "man.py", folder], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder


def test_each_command_has_a_page_with_its_options(pages: Path) -> None:
    names = {path.stem for path in pages.iterdir()}
    assert {"micl", "micl-runs-ls", "micl-doctor", *(f"micl-{name}" for name in COMMANDS)} <= names
    learn = micl.get_command(click.Context(micl), "learn")
    assert learn is not None
    text = (pages / "micl-learn.1").read_text().replace(r"\-", "-")
    for option in learn.params:
        if isinstance(option, click.Option) and not option.hidden:
            assert option.opts[0] in text, option.opts
    assert "MICL_LEARN_SEED" in text
    assert ".SH NOTES" in text and "micl learn --strategy moincl --tasks img_cap,aud_qa" in text


def test_pages_have_no_macro_by_accident(pages: Path) -> None:
    for path in pages.iterdir():
        lines = path.read_text().splitlines()
        found = {match[1] for line in lines if (match := re.match(r"[.'](\S*)", line))}
        assert found <= MACROS, path.name
        assert "\b" not in "".join(lines)


@pytest.mark.skipif(not shutil.which("groff"), reason="groff is not installed")
def test_pages_are_shown_without_warnings(pages: Path) -> None:
    for path in sorted(pages.iterdir()):
        done = subprocess.run(["groff", "-man", "-ww", "-Tutf8", path], capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, ""), path.name
        text = re.sub(".\b", "", done.stdout)  # bold is printed twice
        assert "NAME" in text and "SYNOPSIS" in text and path.stem in text
