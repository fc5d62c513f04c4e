"""Fixtures: the arguments of a quick run, and a home in which one is finished."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import micl_cli
from micl_cli import Run

Quick = dict[str, Any]


@pytest.fixture
def quick(home: Path) -> Quick:
    """The arguments of `micl_cli.learn` that the fixture ``learn`` gives to `micl learn`."""
    return {
        "strategy": "finetune",
        "tasks": ["own/img_cap", "own/aud_qa"],
        "backbone": "toy",
        "batch_size": 4,
        "max_steps": 4,
        "lr": 0.01,
        "max_new_tokens": 6,
        "validation_examples": 2,
        "eval_examples": 3,
        "progress": False,
    }


@pytest.fixture
def run(finished: str) -> Run:
    """A finished run of moincl."""
    return micl_cli.load_run(finished)


Events = Callable[..., "micl_cli.Learning"]


@pytest.fixture
def events(quick: Quick) -> Events:
    """Return the events of a quick run: ``events(seed=1)``."""
    del quick["progress"]
    return lambda **more: micl_cli.learning(**{**quick, **more})
