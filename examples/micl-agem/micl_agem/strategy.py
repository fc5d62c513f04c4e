"""A-GEM (Chaudhry et al., "Efficient Lifelong Learning with A-GEM", ICLR 2019, arXiv 1812.00420)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import torch
from torch import Tensor, nn

from micl_cli.api import Backbone, Example, Range, Stage, State, Strategy


class AGEM(Strategy):
    """Never step in a direction that raises the loss on the stored examples."""

    def __init__(
        self,
        backbone: Backbone,
        *,
        per_task: Annotated[int, "examples stored from each task", Range(1)] = 64,
        batch_size: Annotated[int, "stored examples that a step is measured on", Range(1)] = 16,
        **options: Any,
    ) -> None:
        super().__init__(backbone, **options)
        self.per_task, self.batch_size = per_task, batch_size
        self.memory: list[Example] = []

    def constrain(self) -> None:
        """Project: g <- g - (g . r) / (r . r) r where g . r < 0, r the gradient on the memory (equation 11)."""
        if not self.memory:
            return
        weights = [weight for _, weight in self.trainable()]
        step = _flat(weights, [weight.grad for weight in weights])
        reference = self._reference(weights)
        conflict = step @ reference
        if conflict < 0:
            step -= conflict / (reference @ reference) * reference
            parts = torch.split(step, [weight.numel() for weight in weights])
            for weight, part in zip(weights, parts, strict=True):
                weight.grad = part.view_as(weight).clone()

    def _reference(self, weights: Sequence[nn.Parameter]) -> Tensor:
        """Return the gradient of the loss on a few of the stored examples."""
        drawn = self.stage.rng.sample(self.memory, min(self.batch_size, len(self.memory)))
        loss = self.backbone.loss(self.backbone.batch(drawn))
        # The connector of a new modality reads none of them.
        return _flat(weights, torch.autograd.grad(loss, weights, allow_unused=True))

    def end(self, stage: Stage) -> None:
        for task in stage.tasks:
            examples = list(task.examples("train"))
            self.memory += stage.rng.sample(examples, min(self.per_task, len(examples)))

    def state(self) -> State:
        return State(data={"memory": [example.as_json() for example in self.memory]})

    def restore(self, state: State) -> None:
        self.memory = [Example.from_json(data) for data in state.data.get("memory", ())]


def _flat(weights: Sequence[nn.Parameter], gradients: Sequence[Tensor | None]) -> Tensor:
    """Return all gradients as one vector, zero where there is none."""
    pairs = zip(weights, gradients, strict=True)
    return torch.cat([torch.zeros_like(w).flatten() if g is None else g.flatten() for w, g in pairs])
