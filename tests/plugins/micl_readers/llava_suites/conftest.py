"""Fixtures: data sets in the published shapes, and the rows that readers make of them."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

sys.path.append(str(Path(__file__).parent))

from llava_data import BUILDERS, DataSet

from micl_cli.api import Fault, Row, Source
from micl_cli.registry import Registry

Build = Callable[[str], DataSet]
Read = Callable[..., list[Any]]


@pytest.fixture
def build(tmp_path: Path) -> Build:
    """Write the data set of a benchmark."""

    def call(benchmark: str) -> DataSet:
        data = DataSet(tmp_path / "data")
        BUILDERS[benchmark](data)
        return data

    return call


@pytest.fixture
def read() -> Read:
    """Return the rows of a task, and its faults as "place: reason"; ``split`` selects rows."""

    def call(name: str, root: Path, split: str = "", prompts: str = "", media_root: Path | None = None) -> list[Any]:
        benchmark, _, task = name.partition("/")
        reader = Registry.discover().load("readers", benchmark)()
        source = Source(root, media_root or root, root, prompts or reader.tasks[task].prompts[0], "release")
        found = reader.rows(task, reader.locate(task, source), source)
        return [_shown(each) for each in found if isinstance(each, Fault) or split in ("", each.row.split)]

    return call


def _shown(found: Any) -> Row | str:
    return f"{found.where}: {found.reason}" if isinstance(found, Fault) else found.row
