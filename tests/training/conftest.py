"""Components of a run: the toy backbone on tasks held in memory, in a folder of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from micl_cli.api.resources import Resources
from micl_cli.api.task import Task
from micl_cli.plan import Evaluation, Plan, Training
from micl_cli.registry import Registry
from micl_cli.testing import toy_tasks
from micl_cli.training.checkpoint import RunFolder
from micl_cli.training.components import RunComponents, assemble
from micl_cli.training.feature_cache import Features

MakeComponents = Callable[..., RunComponents]


@pytest.fixture
def make_components(toy_site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MakeComponents:
    """Assemble the components of a plan: ``make_components("moincl", tasks, max_steps=3)``."""
    monkeypatch.syspath_prepend(str(toy_site))
    registry = Registry.discover()

    def make(
        strategy: str = "finetune",
        tasks: Sequence[Task] = (),
        *,
        backbone: str = "toy",
        evaluation: Evaluation | None = None,
        options: Any = None,
        backbone_options: Any = None,
        **training: Any,
    ) -> RunComponents:
        tasks = tasks or toy_tasks()[:2]
        training = {"batch_size": 4, "max_steps": 3, "learning_rate": 0.01} | training
        plan = Plan(
            strategy=strategy,
            backbone=backbone,
            tasks=tuple(task.name for task in tasks),
            strategy_options=options or {},
            backbone_options=backbone_options or {},
            training=Training(**training),
            evaluation=evaluation or Evaluation(max_new_tokens=6, examples=3),
        )
        resources = Resources(tmp_path / "home", registry.load)
        return assemble(plan, tasks, registry, Features(tmp_path / "features"), "cpu", resources=resources)

    return make


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    return RunFolder(tmp_path / "run")
