"""Weight fusion: theta <- (1 - alpha) theta_before + alpha theta (Xiao et al., "Endpoints Weight
Fusion for Class Incremental Semantic Segmentation", CVPR 2023; MoInCL fuses after every epoch)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from micl_cli.api import ADAPTER
from micl_strategies.single import TEACHER, SingleAdapter


def teacher_weights(strategy: SingleAdapter, *, connectors: bool) -> dict[str, Tensor]:
    """Return the teacher's weights to fuse with, by the names of ``trainable``.

    Those are all but connectors, and with ``connectors`` also the connectors of modalities that were learnt before.
    """
    adapters = strategy.backbone.adapters
    learnt = {f"connector/{m}" for task in strategy.stage.previous_tasks for m in task.modalities if connectors}
    teacher = adapters.parameters(TEACHER)
    names = [name for name, _ in strategy.trainable() if name.startswith(f"{ADAPTER}/")]
    groups = {name: adapters.group(name) for name in names}
    fused = [name for name in names if not groups[name].startswith("connector/") or groups[name] in learnt]
    return {name: teacher[name.removeprefix(f"{ADAPTER}/")].detach() for name in fused}


@torch.no_grad()
def fuse(strategy: SingleAdapter, before: Mapping[str, Tensor], alpha: float) -> None:
    """Interpolate from ``before`` to the weights that moved; ``alpha`` is the share of the latter."""
    weights = dict(strategy.trainable())
    for name, old in before.items():
        weights[name].lerp_(old, 1 - alpha)
