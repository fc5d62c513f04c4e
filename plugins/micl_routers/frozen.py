"""Frozen features, some examples at a time."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from micl_cli.api import Backbone, Example, Route

AT_ONCE = 64  # examples


def features(backbone: Backbone, examples: Sequence[Example]) -> Tensor:
    """[n, D] in double precision, on the CPU: closed forms are exact enough to be updated there."""
    parts = [backbone.features(examples[i : i + AT_ONCE]) for i in range(0, len(examples), AT_ONCE)]
    return torch.cat(parts).double().cpu()


def routes(names: Sequence[str], chances: Tensor) -> list[Route]:
    """The likeliest of ``names`` for each row of ``chances`` [n, len(names)], with its margin."""
    ordered = chances.sort(dim=1, descending=True, stable=True)
    best = ordered.values
    margins = best[:, 0] - best[:, 1] if len(names) > 1 else torch.ones(len(best))
    chosen = ordered.indices[:, 0].tolist()
    return [Route(names[i], margin) for i, margin in zip(chosen, margins.clamp(0, 1).tolist(), strict=True)]
