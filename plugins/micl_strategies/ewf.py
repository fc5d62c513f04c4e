"""EWF (Xiao et al., "Endpoints Weight Fusion for Class Incremental Semantic Segmentation", CVPR 2023)."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from micl_cli.api import Backbone, Range, Stage
from micl_strategies.fusion import fuse, teacher_weights
from micl_strategies.single import SingleAdapter


class EWF(SingleAdapter):
    """Fine-tune, then fuse the weights with those before the task: theta <- (1 - alpha) theta_before + alpha theta."""

    def __init__(
        self,
        backbone: Backbone,
        *,
        alpha: Annotated[float, "share of the new weights; 1 keeps them, 0 the old ones", Range(0, 1)] = 0.3,
        fuse_after: Annotated[
            Literal["task", "epoch"], "fuse at the endpoint of a task, or after every epoch"
        ] = "task",
        fuse_connectors: Annotated[bool, "also fuse the connectors of modalities learnt before"] = False,
        **options: Any,
    ) -> None:
        super().__init__(backbone, **options)
        self.alpha, self.fuse_after, self.fuse_connectors = alpha, fuse_after, fuse_connectors

    def begin(self, stage: Stage) -> None:
        super().begin(stage)
        self.keep_teacher()

    def epoch_end(self) -> None:
        if self.fuse_after == "epoch":
            self._fuse()

    def end(self, stage: Stage) -> None:
        if self.fuse_after == "task":
            self._fuse()
        self.drop_teacher()
        super().end(stage)

    def _fuse(self) -> None:
        if self.has_teacher:
            fuse(self, teacher_weights(self, connectors=self.fuse_connectors), self.alpha)
