"""Weight fusion: theta <- (1 - alpha) theta_before + alpha theta (Xiao et al., "Endpoints Weight
Fusion for Class Incremental Semantic Segmentation", CVPR 2023; MoInCL uses it after every epoch)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from micl_strategies.single import TEACHER, SingleAdapter


def fused_from(strategy: SingleAdapter, *, connectors: bool) -> dict[str, Tensor]:
    """The teacher's weights that fusion draws back to: LoRA, and connectors learnt before if asked for."""
    known = {"lora", *({old.modality for old in strategy.seen} if connectors else ())}
    teacher = strategy.backbone.adapter_weights(TEACHER)
    return {n: teacher[n].detach() for n, _ in strategy.trainable() if strategy.backbone.part_of(n) in known}


@torch.no_grad()
def fuse(strategy: SingleAdapter, before: Mapping[str, Tensor], alpha: float) -> None:
    """Draw the moving weights back: ``alpha`` is the share of the new ones."""
    weights = dict(strategy.trainable())
    for name, old in before.items():
        weights[name].lerp_(old, 1 - alpha)
