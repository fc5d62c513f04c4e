"""EWF (Xiao et al., "Endpoints Weight Fusion for Class Incremental Semantic Segmentation", CVPR 2023).

After each task the weights are fused with those from before it: theta <- (1 - alpha) theta_before + alpha theta. The
paper's alpha is sqrt(n_new / (n_new + n_old)) for the numbers of new and old classes; while a task is learnt, the old
model is distilled.

Deviations: by default alpha is a constant and nothing is distilled. ``alpha_rule tasks`` applies the paper's rule to
numbers of tasks, since captions and free answers have no classes: alpha = sqrt(1 / t) at task t. ``distill W`` adds W
times KL(teacher || student) at the answer positions of new examples; the paper's distillation is that of the
segmentation method it extends, on the scores of old classes at each pixel. LoRA's A and B are fused separately, so the
fused product B A is not the interpolation of the two products. With ``fuse_after epoch`` the fusion is the one inside
MoInCL, not the paper's. Validation chooses the weights to fuse; the fused weights are validated too, and kept whatever
their score.
"""

from __future__ import annotations

from math import sqrt
from typing import Annotated, Any, Literal

from micl_cli.api import AddedLater, Backbone, Batch, Loss, Range, Search, Stage, answer_loss, distillation_loss
from micl_strategies.fusion import fuse, teacher_weights
from micl_strategies.single_adapter import SingleAdapter


class EWF(SingleAdapter):
    """Fine-tune, then interpolate between the weights before and after the task."""

    def __init__(
        self,
        backbone: Backbone,
        *,
        alpha: Annotated[
            float, "share of the new weights in the fusion; 0 restores the old ones", Range(0, 1), Search(0.1, 0.9)
        ] = 0.3,
        alpha_rule: Annotated[
            Literal["constant", "tasks"],
            "alpha as given, or the paper's sqrt(n_new / (n_new + n_old)), with numbers of tasks instead of classes",
            AddedLater(),
        ] = "constant",
        distill: Annotated[
            float, "weight of the distillation from the model before the task (0: none)", Range(0), AddedLater()
        ] = 0.0,
        fuse_after: Annotated[Literal["task", "epoch"], "fuse when a task ends, or after every epoch"] = "task",
        fuse_connectors: Annotated[bool, "also fuse the connectors of modalities learnt before"] = False,
        **options: Any,
    ) -> None:
        super().__init__(backbone, **options)
        self.alpha, self.alpha_rule, self.distill = alpha, alpha_rule, distill
        self.fuse_after, self.fuse_connectors = fuse_after, fuse_connectors

    def begin(self, stage: Stage) -> None:
        super().begin(stage)
        self.copy_teacher()

    @property
    def share(self) -> float:
        """The share of the new weights in this stage's fusion (alpha)."""
        if self.alpha_rule == "constant":
            return self.alpha
        new, old = len(self.stage.tasks), len(self.stage.previous_tasks)
        return sqrt(new / (new + old))

    def loss(self, batch: Batch) -> Loss:
        if not (self.distill and self.has_teacher):
            return super().loss(batch)
        teacher = self.teacher_logits(batch)
        student, labels = self.backbone.answer_logits(batch)
        distillation = self.distill * distillation_loss(student, teacher, temperature=1.0)
        return {"answers": answer_loss(student, labels), "distillation": distillation}

    def epoch_end(self) -> None:
        if self.fuse_after == "epoch":
            self._fuse()

    @property
    def acts_at_epoch_end(self) -> bool:
        return self.has_teacher and self.fuse_after == "epoch"

    def end(self, stage: Stage) -> None:
        if self.fuse_after == "task":
            self._fuse()
        self.drop_teacher()
        super().end(stage)

    def _fuse(self) -> None:
        if self.has_teacher:
            fuse(self, teacher_weights(self, connectors=self.fuse_connectors), self.share)
