"""Soft prompts chosen per example, as a stranger writes them (after L2P, arXiv 2112.08654): a prompt a task, by key."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from micl_cli.api import ADAPTER, AdapterSpec, Backbone, Example, Progress, Route, Stage, State, Strategy, hookimpl


class PromptPool(Strategy):
    """One LoRA adapter for all tasks, and for each task a soft prompt that its own examples are given."""

    needs = frozenset({"adapters", "features"})

    def __init__(self, backbone: Backbone) -> None:
        super().__init__(backbone)
        self.keys: dict[str, Tensor] = {}

    def begin(self, stage: Stage) -> None:
        if stage.position == 1:
            self.backbone.adapters.add(ADAPTER, seed=stage.seed)
        spec = AdapterSpec("prompts", {"tokens": 3}, connectors=False)
        self.backbone.adapters.add(f"prompt{stage.position}", spec, seed=stage.seed)
        self.backbone.adapters.activate([ADAPTER, f"prompt{stage.position}"])

    def after(self, stage: Stage) -> Iterator[Progress]:
        for done, task in enumerate(stage.tasks, 1):
            features = self.backbone.features(task.examples("train")).float().cpu()
            self.keys[f"prompt{stage.position}"] = features.mean(0)
            yield Progress(done, len(stage.tasks), "keys")

    def route(self, examples: Sequence[Example]) -> Sequence[Route] | None:
        if not self.keys:
            return None
        names = list(self.keys)
        distances = torch.cdist(self.backbone.features(examples).float().cpu(), torch.stack(list(self.keys.values())))
        return [Route(names[i], selection=[ADAPTER, names[i]]) for i in distances.argmin(1).tolist()]

    def state(self) -> State:
        return State(dict(self.keys))

    def restore(self, state: State) -> None:
        self.keys = dict(state.tensors)


@hookimpl
def micl_register_strategies(register) -> None:
    register("prompt-pool", f"{__name__}:PromptPool", "a soft prompt a task, chosen for each example")
