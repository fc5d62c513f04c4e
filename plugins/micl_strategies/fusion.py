"""Weight fusion: theta <- (1 - alpha) theta_before + alpha theta, shared by EWF and MoInCL (see ewf.py)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from micl_cli.api import ADAPTER
from micl_strategies.single_adapter import TEACHER, SingleAdapter


def teacher_weights(strategy: SingleAdapter, *, connectors: bool) -> dict[str, Tensor]:
    """Return the teacher's weights for the fusion, by their names in ``strategy.trainable()``.

    These are all weights except connectors; with ``connectors``, also the connectors of modalities learnt before.
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
    """Interpolate the trainable weights with ``before`` in place; ``alpha`` is the share of the present weights."""
    weights = dict(strategy.trainable())
    for name, old in before.items():
        weights[name].lerp_(old, 1 - alpha)


def gradual_alpha(strategy: SingleAdapter, step: int, alpha: float) -> float:
    """Return the alpha of the fusion after optimiser step ``step`` (from 1), if an epoch's fusion is spread over it.

    The fusions of an epoch at the peak learning rate have the product ``alpha``. Weights move in proportion to the
    learning rate, and so does the fusion, which ends with it: connectors can adapt to the fused weights until then.
    """
    schedule = strategy.schedule
    return float(alpha ** (schedule.factor(step - 1) / schedule.steps_per_epoch))
