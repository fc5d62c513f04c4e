"""A-GEM (Chaudhry et al., "Efficient Lifelong Learning with A-GEM", ICLR 2019, arXiv 1812.00420)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import torch
from torch import Tensor, nn

from micl_cli.api import Backbone, Example, State, Strategy, Task


class AGEM(Strategy):
    """Never step in a direction that raises the loss on what is remembered."""

    def __init__(
        self,
        backbone: Backbone,
        *,
        per_task: Annotated[int, "examples kept from each task"] = 64,
        batch_size: Annotated[int, "remembered examples that a step is measured on"] = 16,
        **options: Any,
    ) -> None:
        super().__init__(backbone, **options)
        self.per_task, self.batch_size = per_task, batch_size
        self.memory: list[Example] = []

    def constrain(self) -> None:
        """g <- g - (g . r) / (r . r) r where g . r < 0, r the gradient on the memory (equation 11)."""
        if not self.memory or not self.batch_size:
            return
        weights = list(self.parameters())
        step = _flat(weights, [weight.grad for weight in weights])
        remembered = self._remembered(weights)
        conflict = step @ remembered
        if conflict < 0:
            step -= conflict / (remembered @ remembered) * remembered
            parts = torch.split(step, [weight.numel() for weight in weights])
            for weight, part in zip(weights, parts, strict=True):
                weight.grad = part.view_as(weight).clone()

    def _remembered(self, weights: Sequence[nn.Parameter]) -> Tensor:
        """The gradient of the loss on a few of the remembered examples."""
        drawn = self.rng.sample(self.memory, min(self.batch_size, len(self.memory)))
        loss = self.backbone.loss(self.backbone.batch(drawn))
        # The connector of a new modality has no part in what is remembered.
        return _flat(weights, torch.autograd.grad(loss, weights, allow_unused=True))

    def end(self, task: Task) -> None:
        known = task.examples("train")
        self.memory += self.rng.sample(list(known), min(self.per_task, len(known)))

    def state(self) -> State:
        return State(data={"memory": [example.as_json() for example in self.memory]})

    def restore(self, state: State) -> None:
        self.memory = [Example.from_json(data) for data in state.data.get("memory", ())]


def _flat(weights: Sequence[nn.Parameter], gradients: Sequence[Tensor | None]) -> Tensor:
    """All gradients as one vector, zero where there is none."""
    pairs = zip(weights, gradients, strict=True)
    return torch.cat([torch.zeros_like(w).flatten() if g is None else g.flatten() for w, g in pairs])
