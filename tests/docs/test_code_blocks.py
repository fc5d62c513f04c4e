"""Code blocks of the documentation run as they are printed; those that cannot name commands and options that exist."""

from __future__ import annotations

import importlib
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import click
import pytest

from micl_cli.cli.main import micl as program
from micl_cli.registry import Registry

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
FENCE = re.compile(
    r"(?:<!-- not run: (?P<reason>[^\n]+) -->\n)?"
    r"^```(?P<language>\w+)(?: title=\"(?P<title>[^\"]+)\")?\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
LIMITS = {"MAX_STEPS": 2, "EVAL_EXAMPLES": 2, "VALIDATION_EXAMPLES": 2, "MAX_NEW_TOKENS": 4, "BATCH_SIZE": 2}
TASKS = ("img_cap", "aud_qa", "img_qa")
COMPOUND = re.compile(r"\$\(|=\(|^(for|if|while) |[|;&<>]|^\w+=", re.MULTILINE)
"""What only a shell can run."""
SHELL = ("bash", "sh")
MAX_LINE = 76
"""The number of characters that a line of code has room for on the site, in a window of 1280 pixels."""


class Block(NamedTuple):
    """A code block of a page. ``title`` is the file that it shows; with ``reason`` it cannot run in a test."""

    page: Path
    language: str
    title: str
    reason: str
    text: str


def blocks_of(page: Path) -> list[Block]:
    """Return the fenced code blocks of a page."""
    found = FENCE.finditer(page.read_text(encoding="utf-8"))
    return [Block(page, m["language"], m["title"] or "", m["reason"] or "", m["text"]) for m in found]


def written_pages() -> list[Path]:
    """Return the pages that are written by hand."""
    return sorted(DOCS.rglob("*.md"))


def pages_with_shell() -> list[Path]:
    """Return the pages with code blocks for a shell."""
    return [page for page in written_pages() if any(block.language in SHELL for block in blocks_of(page))]


def logical_lines(text: str) -> list[str]:
    """Return the lines of a script, joined where they are continued, without empty ones and comments."""
    lines = re.sub(r"\\\n\s*", " ", text).splitlines()
    return [line for line in lines if line.strip() and not line.startswith("#")]


# Blocks that run


class Place(NamedTuple):
    """What pages share: a home with prepared tasks, the folder of installed packages, and that of the commands."""

    home: Path
    site: Path
    bin: Path


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """A home with three small tasks of mini, and the commands `micl`, `python` and `pip` for shells."""
    from micl_cli.session import Session
    from micl_cli.settings import Settings

    folder = tmp_path_factory.mktemp("docs")
    found = Place(folder / "home", folder / "site", folder / "bin")
    found.site.mkdir()
    found.bin.mkdir()
    install = f"-m pip install --quiet --no-deps --no-index --no-build-isolation --target {found.site}"
    commands = {
        "micl": '-c "from micl_cli.cli.main import main; main()" "$@"',
        "python": '"$@"',
        "pip": f'{install} "./$(eval echo \\${{$#}})"',
    }
    for name, words in commands.items():
        (found.bin / name).write_text(f"#!/bin/bash\nexec {sys.executable} {words}\n")
        (found.bin / name).chmod(0o755)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("micl_tasks.mini.tasks.COUNTS", counts := {"train": 16, "val": 4, "test": 8})
        patch.setattr("micl_tasks.mini.tasks.QUESTIONS", dict.fromkeys(counts, 1))
        session = Session(Settings(home=found.home, store_url=f"sqlite:///{found.home / 'micl.db'}"))
        for task in TASKS:
            session.tasks.prepare(f"mini/{task}")
    yield found


@pytest.fixture
def environment(place: Place, isolated: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Set a home of the page's own, so that ``@last`` is one of its runs, the paths, and limits of all learning."""
    shutil.copytree(place.home, isolated)
    for command in ("LEARN", "SWEEP", "TUNE_RUN"):
        for name, value in LIMITS.items():
            monkeypatch.setenv(f"MICL_{command}_{name}", str(value))
    monkeypatch.setenv("PATH", f"{place.bin}{os.pathsep}{os.environ['PATH']}")
    paths = [str(place.site), *filter(None, [os.environ.get("PYTHONPATH")])]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(paths))
    monkeypatch.syspath_prepend(str(place.site))


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("bash") or not shutil.which("jq"), reason="bash or jq is not installed")
@pytest.mark.parametrize("page", pages_with_shell(), ids=lambda page: page.relative_to(DOCS).as_posix())
def test_the_blocks_of_a_page_run(page: Path, environment: None, micl: Any) -> None:
    for block in blocks_of(page):
        if block.reason:
            continue
        if block.title:
            Path(block.title).parent.mkdir(parents=True, exist_ok=True)
            Path(block.title).write_text(block.text, encoding="utf-8")
        elif block.language == "python":
            shell(f"python - <<'END'\n{block.text}END\n")
        elif block.language in SHELL:
            run_block(block, micl)


def run_block(block: Block, micl: Any) -> None:
    """Run the lines of a block: those with `micl` in this process, unless they need a shell."""
    if COMPOUND.search(re.sub(r"#.*", "", block.text)):
        shell(block.text)
        return
    for line in logical_lines(block.text):
        words = shlex.split(os.path.expandvars(line), comments=True)
        if words[0] != "micl":
            shell(line)
            continue
        importlib.invalidate_caches()
        done = micl(*words[1:])
        assert done.code == 0, f"{line}\n{done.out}{done.err}"


def shell(script: str) -> None:
    done = subprocess.run(["bash", "-euo", "pipefail", "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, f"{script}\n{done.stdout}{done.stderr}"


# All blocks


def commands_of(text: str) -> Iterator[list[str]]:
    """Yield the words of each `micl` command in a script."""
    for line in logical_lines(text):
        for part in re.split(r"[|;&<>]|\$\(|\)", re.sub(r"\s#.*", "", line)):
            words = shlex.split(part.replace('"', " ")) if part.count("'") % 2 == 0 else part.split()
            while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
                words = words[1:]
            if words and words[0] == "micl":
                yield words[1:]


def command_of(words: list[str]) -> tuple[click.Command, list[str]]:
    """Return the command that words begin with, and the rest; groups have a default."""
    command: click.Command = program
    while isinstance(command, click.Group):
        ctx = click.Context(command, info_name="micl")
        found = command.get_command(ctx, words[0]) if words else None
        if found is None and command is not program:
            found, words = next(iter(command.commands.values())), ["", *words]
        assert found is not None, words
        command, words = found, words[1:]
    return command, words


def scripts_of(page: Path) -> Iterator[str]:
    """Yield the blocks for a shell of a page, and the commands in its indented blocks, which may begin with "$"."""
    yield from (block.text for block in blocks_of(page) if block.language in SHELL)
    yield from re.findall(r"^ {4}(?:\$ )?(micl .*(?:(?<=\\)\n.*)*)", page.read_text(encoding="utf-8"), re.MULTILINE)


@pytest.mark.parametrize(
    "page", [ROOT / "README.md", *written_pages()], ids=lambda page: page.relative_to(ROOT).as_posix()
)
def test_commands_and_options_of_a_page_exist(page: Path) -> None:
    strategies = {part.name for part in Registry.discover().parts("strategies")} | {"S", "anchor"}
    for words in (words for script in scripts_of(page) for words in commands_of(script)):
        command, rest = command_of(words)
        known = {flag for option in command.params for flag in (*option.opts, *option.secondary_opts)}
        flags = [word for word in rest if re.match(r"--?[a-z]", word)]
        assert not [flag for flag in flags if flag not in known], words
        if "--strategy" in rest:
            named = re.sub(r"\[[^]]*\]", "", rest[rest.index("--strategy") + 1]).split(",")
            assert set(named) <= strategies, words


@pytest.mark.parametrize("page", written_pages(), ids=lambda page: page.relative_to(DOCS).as_posix())
def test_blocks_have_a_language_and_a_reason_if_they_do_not_run(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert text.count("<!-- not run: ") == sum(bool(block.reason) for block in blocks_of(page))
    assert not re.search(r"^(?:```|~~~)\n(?=\S)", re.sub(r"^```\w+.*?^```$", "", text, flags=re.M | re.S), re.M)


@pytest.mark.parametrize(
    "page", [ROOT / "README.md", *written_pages()], ids=lambda page: page.relative_to(ROOT).as_posix()
)
def test_lines_of_code_are_not_cut(page: Path) -> None:
    lines = [line for block in blocks_of(page) for line in block.text.splitlines()]
    words = re.compile(r"\s*\S+( \\)?")  # a single word cannot be broken
    assert not [line for line in lines if len(line) > MAX_LINE and not words.fullmatch(line)]
