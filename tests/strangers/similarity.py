"""Experts weighted per example by the similarity of features (after DISCO, arXiv 2503.12897), as a stranger does."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from micl_cli.api import Backbone, Example, Progress, Route, Stage, State, Strategy, hookimpl

TEMPERATURE = 0.05


class Similarity(Strategy):
    """An expert a task; an answer is given by their sum, weighted by how much the example resembles each task."""

    needs = frozenset({"adapters", "features"})

    def __init__(self, backbone: Backbone) -> None:
        super().__init__(backbone)
        self.means: dict[str, Tensor] = {}

    def begin(self, stage: Stage) -> None:
        self.backbone.adapters.add(f"expert{stage.position}", seed=stage.seed)
        self.backbone.adapters.activate(f"expert{stage.position}")

    def after(self, stage: Stage) -> Iterator[Progress]:
        examples = [example for task in stage.tasks for example in task.examples("train")]
        self.means[f"expert{stage.position}"] = self.backbone.features(examples).float().cpu().mean(0)
        yield Progress(len(examples), len(examples), "means")

    def route(self, examples: Sequence[Example]) -> Sequence[Route] | None:
        if not self.means:
            return None
        names, means = list(self.means), torch.stack(list(self.means.values()))
        similar = F.cosine_similarity(self.backbone.features(examples).float().cpu()[:, None], means[None], dim=-1)
        return [self._route(names, row) for row in (similar / TEMPERATURE).softmax(1)]

    def _route(self, names: Sequence[str], weights: Tensor) -> Route:
        best = weights.topk(min(2, len(names))).values.tolist()
        selection = dict(zip(names, weights.tolist(), strict=True))
        return Route(names[int(weights.argmax())], best[0] - best[-1], selection)

    def state(self) -> State:
        return State(dict(self.means))

    def restore(self, state: State) -> None:
        self.means = dict(state.tensors)


@hookimpl
def micl_register_strategies(register) -> None:
    register("similarity", f"{__name__}:Similarity", "experts weighted by similarity of features")
