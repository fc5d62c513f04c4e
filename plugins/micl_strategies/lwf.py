"""LwF (Li & Hoiem, "Learning without Forgetting", TPAMI 2017).

The old model's answers on the new task's inputs are preserved: the student is drawn to the teacher's
distribution at every answer position (their eq. 1 and 2, with the knowledge distillation loss of
Hinton et al. 2015), teacher forced with the new task's answers, so that no position can misalign.
"""

from __future__ import annotations

from typing import Annotated, Any

from micl_cli.api import Backbone, Batch, Loss, Range, Stage, answer_loss, distillation_loss
from micl_strategies.single import TEACHER, SingleAdapter


class LwF(SingleAdapter):
    """Distil the model as it stood before the task, on the new task's own examples."""

    def __init__(
        self,
        backbone: Backbone,
        *,
        lambda_lwf: Annotated[float, "weight of the distillation", Range(0)] = 1.0,
        temperature: Annotated[float, "temperature T of the distillation", Range(0, low_open=True)] = 2.0,
        **options: Any,
    ) -> None:
        super().__init__(backbone, **options)
        self.lambda_lwf, self.temperature = lambda_lwf, temperature

    def begin(self, stage: Stage) -> None:
        super().begin(stage)
        self.keep_teacher()

    def loss(self, batch: Batch) -> Loss:
        if not self.has_teacher:
            return super().loss(batch)
        with self.backbone.adapters.using(TEACHER):
            teacher, _ = self.backbone.answer_logits(self.backbone.batch(batch.examples))
        student, labels = self.backbone.answer_logits(batch)
        return {
            "answers": answer_loss(student, labels),
            "lwf": self.lambda_lwf * distillation_loss(student, teacher, self.temperature),
        }

    def end(self, stage: Stage) -> None:
        self.drop_teacher()
        super().end(stage)
