"""Folders and readers of a toy modality: a file holds one letter."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest

from micl_cli.api import MediaError, Modality


class Letters(Modality):
    """Reads one letter; remembers the files that it inspected. The content "bad" cannot be read."""

    name = "letter"

    def __init__(self) -> None:
        self.opened: list[str] = []

    def read(self, path: Path) -> str:
        return path.read_text()

    def inspect(self, path: Path) -> Mapping[str, Any]:
        self.opened.append(path.name)
        if (text := self.read(path)) == "bad":
            raise MediaError(f"{path}: cannot be read as a letter: it has three")
        return {"letters": len(text)}


class Runes(Letters):
    """Reads the same files as a second modality, with other facts."""

    name = "rune"

    def inspect(self, path: Path) -> Mapping[str, Any]:
        super().inspect(path)
        return {"strokes": 3}


Readers = dict[str, Letters]


@pytest.fixture
def readers() -> Readers:
    """Readers of two modalities, by name."""
    return {"letter": Letters(), "rune": Runes()}


WriteTask = Callable[..., Path]


@pytest.fixture
def write_task(tmp_path: Path) -> WriteTask:
    """Write a task's folder: the lines of ``task.toml`` behind the name, manifest lines, and letters by file name."""

    def call(toml: str, lines: Iterable[Mapping[str, Any]], media: Mapping[str, str] = {}) -> Path:
        folder = tmp_path / "folder"
        (folder / "media").mkdir(parents=True, exist_ok=True)
        (folder / "task.toml").write_text(f'name = "letters"\n{toml}\n')
        (folder / "manifest.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
        for name, content in media.items():
            (folder / "media" / name).write_text(content)
        return folder

    return call
