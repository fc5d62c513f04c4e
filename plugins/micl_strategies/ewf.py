"""EWF (Xiao et al., "Endpoints Weight Fusion for Class Incremental Semantic Segmentation", CVPR 2023).

After each task the weights are fused with those from before it: theta <- (1 - alpha) theta_before + alpha theta.

Deviations: alpha is a constant option; the paper computes it from the numbers of old and new classes, which captions
and free answers do not have. The paper also distils the old model while learning; here the fusion stands alone. What is
fused are LoRA's A and B, each on its own, so that the product B A is not the interpolation of the two products. With
``fuse_after epoch`` the fusion is the one inside MoInCL, not the paper's. Validation chooses the weights to fuse; what
the fusion gives is validated, and kept whatever the score.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from micl_cli.api import Backbone, Range, Search, Stage
from micl_strategies.fusion import fuse, teacher_weights
from micl_strategies.single import SingleAdapter


class EWF(SingleAdapter):
    """Fine-tune, then interpolate between the weights before and after the task."""

    def __init__(
        self,
        backbone: Backbone,
        *,
        alpha: Annotated[
            float, "share of the new weights in the fusion; 0 restores the old ones", Range(0, 1), Search(0.1, 0.9)
        ] = 0.3,
        fuse_after: Annotated[Literal["task", "epoch"], "fuse when a task ends, or after every epoch"] = "task",
        fuse_connectors: Annotated[bool, "also fuse the connectors of modalities learnt before"] = False,
        **options: Any,
    ) -> None:
        super().__init__(backbone, **options)
        self.alpha, self.fuse_after, self.fuse_connectors = alpha, fuse_after, fuse_connectors

    def begin(self, stage: Stage) -> None:
        super().begin(stage)
        self.copy_teacher()

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
            fuse(self, teacher_weights(self, connectors=self.fuse_connectors), self.alpha)
