"""Helpers that prepare user data and return the rows of the task."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Rows = Callable[..., list[dict[str, Any]]]


@pytest.fixture
def rows_of(micl: Any, isolated: Path) -> Rows:
    """Run ``micl prepare --from ... --as own/x`` and return the rows of the task; ``rows_of.notes`` are its notes."""

    def call(*words: object) -> list[dict[str, Any]]:
        done = micl("prepare", "--as", "own/x", "--json", *words)
        assert done.code == 0, done.err
        call.task = json.loads(done.out)["tasks"][0]  # type: ignore[attr-defined]
        lines = (isolated / "tasks/own/x/manifest.jsonl").read_text().splitlines()
        return [json.loads(line) for line in lines]

    return call
