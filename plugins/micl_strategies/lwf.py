"""LwF (Li & Hoiem, "Learning without Forgetting", TPAMI 2017).

The loss is the cross entropy on the new task's answers (their eq. 1) plus lambda times a distillation loss that
preserves the old model's outputs on the new task's inputs (their eq. 2), at every answer position, teacher forced with
the answers.

Deviations: a language model has one output layer for all tasks, so there are no heads per task, and no warm-up of a new
head. The distillation is T^2 KL(teacher || student) of Hinton et al. 2015, whose gradient is T^2 times that of eq. 2.
The teacher's outputs are computed at each step instead of recorded before learning, which gives the same without
augmentation (the teacher runs without dropout). With ``-o replay`` the rehearsed examples are distilled as well.
"""

from __future__ import annotations

from typing import Annotated, Any

from micl_cli.api import Backbone, Batch, Loss, Range, Search, Stage, answer_loss, distillation_loss
from micl_strategies.single_adapter import SingleAdapter


class LwF(SingleAdapter):
    """Distil the model from before the task on the new task's examples."""

    def __init__(
        self,
        backbone: Backbone,
        *,
        lambda_lwf: Annotated[float, "weight of the distillation loss", Range(0), Search(0.01, 10.0, log=True)] = 1.0,
        temperature: Annotated[float, "temperature T of the distillation", Range(0, low_open=True)] = 2.0,
        **options: Any,
    ) -> None:
        super().__init__(backbone, **options)
        self.lambda_lwf, self.temperature = lambda_lwf, temperature

    def begin(self, stage: Stage) -> None:
        super().begin(stage)
        self.copy_teacher()

    def loss(self, batch: Batch) -> Loss:
        if not self.has_teacher:
            return super().loss(batch)
        teacher = self.teacher_logits(batch)
        student, labels = self.backbone.answer_logits(batch)
        return {
            "answers": answer_loss(student, labels),
            "lwf": self.lambda_lwf * distillation_loss(student, teacher, self.temperature),
        }

    def end(self, stage: Stage) -> None:
        self.drop_teacher()
        super().end(stage)
