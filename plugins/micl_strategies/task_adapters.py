"""Base class of the methods that learn a separate adapter for each task, starting from the base model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from micl_cli.api import Backbone, Stage, State, Strategy


class TaskAdapters(Strategy):
    """Learn a new adapter in each stage, which is frozen afterwards. ``experts`` holds the adapters by task."""

    def __init__(self, backbone: Backbone, **options: Any) -> None:
        super().__init__(backbone, **options)
        self.experts: dict[str, str] = {}

    def begin(self, stage: Stage) -> None:
        name = f"expert{stage.position}"
        if name not in self.backbone.adapters.names:
            self.backbone.adapters.add(name, seed=stage.seed)
        self.backbone.adapters.activate(name)

    def end(self, stage: Stage) -> None:
        self.experts |= {task.name: f"expert{stage.position}" for task in stage.tasks}

    @property
    def task_adapters(self) -> Mapping[str, str]:
        return self.experts

    def state(self) -> State:
        return State(data={"experts": self.experts} if self.experts else {})

    def restore(self, state: State) -> None:
        self.experts = dict(state.data.get("experts", {}))
