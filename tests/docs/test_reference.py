"""The generated reference has every command, option, plugin, event and field of the code."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from types import ModuleType
from typing import Any

import click
import pytest

import micl_cli
from micl_cli.api.events import Event
from micl_cli.api.hookspecs import Hooks
from micl_cli.api.options import options_of
from micl_cli.cli.main import micl as program
from micl_cli.registry import KINDS, Registry
from micl_cli.report.matrix import FIGURES

DOCS = Path(__file__).parents[2] / "docs"


def every_command(command: click.Command, path: str) -> Iterator[tuple[str, click.Command]]:
    """Yield all commands with their full names."""
    yield path, command
    if isinstance(command, click.Group):
        ctx = click.Context(command, info_name="micl")
        for name in getattr(command, "lazy", command.commands):
            below = command.get_command(ctx, name)
            assert below is not None
            yield from every_command(below, f"{path} {name}")


def page_of(pages: Mapping[str, str], path: str) -> str:
    """Return the part of a page that is about a command."""
    words = path.split()
    text = pages[f"reference/commands/{words[1] if len(words) > 1 else 'index'}.md"]
    return text if len(words) < 3 else text.partition(f"## {path}\n")[2].partition("\n## ")[0]


def test_every_command_and_option_is_described(generator: ModuleType) -> None:
    pages = generator.commands.pages()
    missing = []
    for path, command in every_command(program, "micl"):
        text = page_of(pages, path)
        for option in command.params:
            if isinstance(option, click.Option) and not option.hidden:
                missing += [f"{path} {flag}" for flag in option.opts if not re.search(rf"`[^`]*{flag}[ ,`]", text)]
        missing += [path] if not text.strip() else []
    assert not missing


def test_options_that_files_may_set_have_their_key(generator: ModuleType) -> None:
    text = generator.commands.pages()["reference/commands/learn.md"]
    assert re.search(r"`--max-steps [^`]*` \| .* \| `max_steps` \|", text)
    assert re.search(r"`--listen [^`]*` \| .* \| `listeners` \|", text)


def test_every_plugin_is_described_with_its_options(generator: ModuleType) -> None:
    registry, pages = Registry.discover(), generator.parts.pages()
    missing = []
    for kind in KINDS:
        for part in (part for part in registry.parts(kind) if part.distribution == "micl-cli"):
            section = pages[f"reference/plugins/{kind}.md"].partition(f"## `{part.name}` ")[2].partition("\n## ")[0]
            names = options_of(registry.load(kind, part.name))
            missing += [f"{kind} {part.name}"] if not section else []
            missing += [f"{kind} {part.name} {name}" for name in names if f"| `{name}` |" not in section]
    assert not missing


def test_strategies_state_their_deviations(generator: ModuleType) -> None:
    text = generator.parts.pages()["reference/plugins/strategies.md"]
    assert all("\nDeviations" in section for section in text.split("\n## ")[1:])


def test_every_hook_is_described() -> None:
    text = (DOCS / "plugins.md").read_text()
    assert not [name for name in vars(Hooks) if name.startswith("micl_") and f"### `{name}(" not in text]


def test_every_event_is_described_with_its_fields(generator: ModuleType) -> None:
    text = generator.outputs.events_page()
    for event in Event.__subclasses__():
        section = text.partition(f"## {event.name}\n")[2].partition("\n## ")[0]
        assert not [field.name for field in fields(event) if f"| `{field.name}` |" not in section], event


def test_the_keys_of_run_files_are_described(generator: ModuleType) -> None:
    text = generator.keys.keys_page()
    assert "| `training.max_steps` |" in text and "| `strategy` |" in text and "## grid.toml" in text


def test_the_python_interface_is_described(generator: ModuleType) -> None:
    text = generator.interface.interface_page()
    assert not [name for name in micl_cli._MODULES if f"\n## {name}\n" not in text]
    assert "device: str = 'auto'" in text
    assert "answer(" in text.partition("### LoadedExport.answer\n")[2]


def test_figures_are_described_with_their_formula(generator: ModuleType) -> None:
    text = generator.outputs.json_page()
    assert all(f"| `{name}` |" in text for name in FIGURES)


def test_the_output_of_every_command_with_json_is_described(generator: ModuleType) -> None:
    with_json = {
        path for path, command in every_command(program, "micl") if "as_json" in [each.name for each in command.params]
    }
    assert set(generator.outputs.outputs()) == with_json


# The fields that commands write, and those that are described


def paths_of(value: Any, path: str = "") -> Iterator[str]:
    """Yield the paths of all values in a document, with [] for the items of lists."""
    if isinstance(value, list) and value:
        for item in value:
            yield from paths_of(item, f"{path}[]")
    elif isinstance(value, dict) and value:
        for key, item in value.items():
            yield from paths_of(item, f"{path}.{key}" if path else key)
    else:
        yield path or "."


def described(path: str, rows: Mapping[str, str], record_class: Callable[[str], type[Any] | None]) -> bool:
    """Return whether a path, or the record that it is a field of, is described; empty lists and objects are too."""
    for pattern, meaning in rows.items():
        cls = record_class(meaning)
        start = "" if pattern == "." else re.escape(pattern).replace(r"\*", r"[^\[]+")
        if pattern.startswith((f"{path}[", f"{path}.")) or (cls is None and re.fullmatch(rf"{start}([\[.].*)?", path)):
            return True
        names = "|".join(field.name for field in fields(cls)) if cls else "(?!)"
        separator = r"\." if start else ""
        if re.match(rf"{start}{separator}({names})\b", path):
            return True
    return False


SMALL = ("--backbone", "toy", "--max-steps", "2", "--batch-size", "4", "--eval-examples", "2")
PAIR = ("--strategy", "finetune,ewc", "--tasks", "own/img_cap,own/aud_qa")
STUDY = ("--strategy", "ewc", "--tasks", "own/img_cap", "--for", "own/aud_qa", "--trials", "2", "--jobs", "1")
PLAN = ("--strategy", "ewc", "--tasks", "own/img_cap")

DOCUMENTS = {
    "micl prepare": ("prepare", "{task}"),
    "micl learn": ("learn", *SMALL, *PLAN, "--dry-run"),
    "micl sweep": ("sweep", *SMALL, *PAIR, "--dry-run"),
    "micl tune run": ("tune", "run", *SMALL, *STUDY, "--dry-run"),
    "micl ask": ("ask", "@last", "--image", "{task}/media/0.png", "what is it?"),
    "micl score": ("score", "answers.jsonl", "--task", "own/img_cap"),
    "micl report": ("report", "@last"),
    "micl runs ls": ("runs", "ls"),
    "micl runs show": ("runs", "show", "@last"),
    "micl tasks ls": ("tasks", "ls"),
    "micl tasks show": ("tasks", "show", "own/img_cap"),
    "micl plugins list": ("plugins", "list"),
    "micl plugins show": ("plugins", "show", "strategy", "moincl"),
    "micl backbones list": ("backbones", "list"),
    "micl cache ls": ("cache", "ls"),
    "micl config list": ("config", "list"),
    "micl store check": ("store", "check"),
    "micl doctor": ("doctor",),
    "micl diff": ("diff", "@last", "@last", "--all"),
    "micl tune ls": ("tune", "ls"),
}


@pytest.mark.parametrize("command", DOCUMENTS)
def test_every_field_of_a_document_is_described(
    generator: ModuleType, finished: str, own_folders: Path, micl: Any, command: str
) -> None:
    answers = micl("predictions", "@last", "--task", "own/img_cap", "--format", "jsonl").out
    Path("answers.jsonl").write_text(answers, encoding="utf-8")
    words = [word.format(task=own_folders / "img_cap") for word in DOCUMENTS[command]]
    assert not undescribed(generator, command, micl(*words, "--json").out)


@pytest.mark.slow
def test_every_field_of_the_lines_of_a_sweep_is_described(
    generator: ModuleType, home: Path, toy_site: Path, micl: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [str(toy_site), *filter(None, [os.environ.get("PYTHONPATH")])]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(paths))
    done = micl("sweep", *SMALL, *PAIR, "--json")
    assert done.code == 0
    assert not undescribed(generator, "micl sweep", done.out)


def undescribed(generator: ModuleType, command: str, output: str) -> list[str]:
    """Return the paths in a document, or in JSON Lines, that are not described."""
    outputs = generator.outputs
    try:
        documents = [json.loads(output)]
    except json.JSONDecodeError:
        documents = [json.loads(line) for line in output.splitlines()]
    assert documents
    rows = outputs.outputs()[command]
    paths = {path for document in documents for path in paths_of(document)} - {"[]", "."}
    return sorted(path for path in paths if not described(path, rows, outputs.record_class))


def test_a_field_that_is_not_described_is_noticed(generator: ModuleType) -> None:
    outputs = generator.outputs
    rows = outputs.outputs()["micl report"]
    assert described("runs[].stages[].steps", rows, outputs.record_class)
    assert described("runs[].environment.python", rows, outputs.record_class)
    assert not described("runs[].stages[].novel", rows, outputs.record_class)
    assert not described("runs[].novel", rows, outputs.record_class)
