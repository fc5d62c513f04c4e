"""LwF (Li & Hoiem, "Learning without Forgetting", TPAMI 2017).

The old model's answers on the new task's inputs are kept: the student is drawn to the teacher's
distribution at every answer position (their eq. 1 and 2, with the knowledge distillation loss of
Hinton et al. 2015), teacher forced with the new task's answers, so that no position can misalign.
"""

from __future__ import annotations

from typing import Annotated, Any

import torch
from torch import Tensor

from micl_cli.api import Backbone, Batch, Task, answer_loss, distillation_loss
from micl_strategies.single import TEACHER, SingleAdapter


class LwF(SingleAdapter):
    """Distil the model as it stood before the task, on the new task's own examples."""

    def __init__(
        self,
        backbone: Backbone,
        *,
        lambda_lwf: Annotated[float, "weight of the distillation"] = 1.0,
        temperature: Annotated[float, "temperature T of the distillation"] = 2.0,
        **options: Any,
    ) -> None:
        super().__init__(backbone, **options)
        self.lambda_lwf, self.temperature = lambda_lwf, temperature

    def begin(self, task: Task) -> None:
        super().begin(task)
        self.keep_teacher()

    def loss(self, batch: Batch) -> Tensor:
        if not self.taught:
            return super().loss(batch)
        with self.backbone.using(TEACHER):
            theirs, _ = self.backbone.answer_logits(batch)
        ours, labels = self.backbone.answer_logits(batch)
        terms = {
            "answers": answer_loss(ours, labels),
            "lwf": self.lambda_lwf * distillation_loss(ours, theirs, self.temperature),
        }
        self.parts = {name: float(term.detach()) for name, term in terms.items()}
        return torch.stack(list(terms.values())).sum()

    def end(self, task: Task) -> None:
        self.drop_teacher()
        super().end(task)
