"""A-GEM (Chaudhry et al., "Efficient Lifelong Learning with A-GEM", ICLR 2019, arXiv 1812.00420).

g is the gradient on the batch, r the gradient on examples drawn from memory. If g . r < 0, the step would increase the
loss on the memory, and g is projected: g <- g - (g . r) / (r . r) r (their eq. 11).

Deviations: examples are stored when a task ends, as a uniform sample of it; the paper fills the memory while learning.
Only trainable weights are projected (LoRA, this task's connectors). With accumulation, g is that of the whole step.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import torch
from torch import Tensor, nn

from micl_cli.api import Backbone, Example, Range, Stage, State, Strategy


class AGEM(Strategy):
    """Remove the component of the gradient that would increase the loss on stored examples of earlier tasks."""

    def __init__(
        self,
        backbone: Backbone,
        *,
        per_task: Annotated[int, "stored examples per task", Range(1)] = 64,
        batch_size: Annotated[int, "stored examples drawn at each step for the reference gradient", Range(1)] = 16,
        **options: Any,
    ) -> None:
        super().__init__(backbone, **options)
        self.per_task, self.batch_size = per_task, batch_size
        self.memory: list[Example] = []

    def constrain(self) -> None:
        """Project the gradient g if it conflicts with the reference gradient r: g <- g - (g . r) / (r . r) r."""
        if not self.memory:
            return
        weights = [weight for _, weight in self.trainable()]
        gradient = _flat(weights, [weight.grad for weight in weights])
        reference = self._reference_gradient(weights)
        product = gradient @ reference
        if product < 0:
            gradient -= product / (reference @ reference) * reference
            split = torch.split(gradient, [weight.numel() for weight in weights])
            for weight, own in zip(weights, split, strict=True):
                weight.grad = own.view_as(weight).clone()

    def _reference_gradient(self, weights: Sequence[nn.Parameter]) -> Tensor:
        """Return the gradient of the loss on a batch of stored examples."""
        drawn = self.stage.rng.sample(self.memory, min(self.batch_size, len(self.memory)))
        loss = self.backbone.loss(self.backbone.batch(drawn))
        # allow_unused: stored examples do not use the connector of a new modality.
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
    """Concatenate the gradients to one vector, with zeros for missing ones."""
    pairs = zip(weights, gradients, strict=True)
    return torch.cat([torch.zeros_like(w).flatten() if g is None else g.flatten() for w, g in pairs])
